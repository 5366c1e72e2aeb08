//! The description of the API, made from the handlers and their types.
//!
//! What holds for every operation of a kind (who may call it, that its errors are problem documents) is added where
//! the router puts them together, so that no handler can forget it.

use std::sync::LazyLock;

use eve_api_types::PROBLEM_MEDIA_TYPE;
use eve_api_types::Problem;
use utoipa::Modify;
use utoipa::OpenApi;
use utoipa::openapi;
use utoipa::openapi::Content;
use utoipa::openapi::Ref;
use utoipa::openapi::RefOr;
use utoipa::openapi::Response;
use utoipa::openapi::path::Operation;
use utoipa::openapi::path::PathItem;
use utoipa::openapi::security::ApiKey;
use utoipa::openapi::security::ApiKeyValue;
use utoipa::openapi::security::Http;
use utoipa::openapi::security::HttpAuthScheme;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::security::SecurityScheme;
use utoipa_axum::router::OpenApiRouter;

use crate::App;
use crate::authentication::API_KEY_HEADER;
use crate::router;

/// An API key or a token as a bearer.
const BEARER: &str = "bearer";
/// An API key in a header of its own.
const API_KEY: &str = "api_key";
/// A worker key as a bearer.
const WORKER_KEY: &str = "worker_key";

/// What is not said by the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Eve",
        version = "1",
        description = "A self-hosted control plane for coding agents. Ask for something with `POST /api/v1/requests`, \
            follow it with `GET /api/v1/requests/{id}/log`, and fetch what came of it from `GET /api/v1/results/{id}`. \
            Every error is an `application/problem+json` document with a stable `code`; `x-request-id` names the \
            request in the server's log.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "auth", description = "Keys and tokens."),
        (name = "requests", description = "Asking for things, following them, and what came of them."),
        (name = "bulk actions", description = "One change for many requests."),
        (name = "events", description = "What happens in the organization."),
        (name = "worker types", description = "Who does a request."),
        (name = "limits", description = "How much may run at once."),
        (name = "installation", description = "How the installation stands."),
        (name = "worker API", description = "For workers: claim, heartbeat, log, settle, give back."),
        (name = "probes", description = "For load balancers, monitors and people without a key.")
    ),
    components(schemas(Problem)),
    modifiers(&Schemes)
)]
pub(crate) struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let bearer = |text: &str| {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.description = Some(text.to_owned());
            SecurityScheme::Http(scheme)
        };
        let header = ApiKeyValue::with_description(API_KEY_HEADER, "An API key.");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(BEARER, bearer("An API key, or a token made from one."));
        components.add_security_scheme(API_KEY, SecurityScheme::ApiKey(ApiKey::Header(header)));
        components.add_security_scheme(WORKER_KEY, bearer("A worker key."));
    }
}

/// The description of the API.
pub fn openapi() -> openapi::OpenApi {
    router::addresses().into_openapi()
}

/// The description of the API as it is kept in `openapi/v1.json`.
pub fn openapi_json() -> String {
    // A document of strings and maps always has a JSON form.
    openapi().to_pretty_json().unwrap_or_default() + "\n"
}

/// The same, made once.
pub(crate) fn cached_json() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(openapi_json);
    &JSON
}

/// Says that anybody may call these operations.
pub(crate) fn open(router: OpenApiRouter<App>) -> OpenApiRouter<App> {
    described(router, &[])
}

/// Says that members of an organization may call these operations.
pub(crate) fn for_members(router: OpenApiRouter<App>) -> OpenApiRouter<App> {
    described(router, &[BEARER, API_KEY])
}

/// Says that workers may call these operations.
pub(crate) fn for_workers(router: OpenApiRouter<App>) -> OpenApiRouter<App> {
    described(router, &[WORKER_KEY])
}

fn described(mut router: OpenApiRouter<App>, schemes: &[&str]) -> OpenApiRouter<App> {
    let security = schemes.iter().map(|name| SecurityRequirement::new::<_, [&str; 0], &str>(*name, []));
    let security: Vec<SecurityRequirement> = security.collect();
    for operation in router.get_openapi_mut().paths.paths.values_mut().flat_map(operations) {
        operation.security = Some(security.clone());
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response
                && response.description.is_empty()
            {
                // The standard wants one, and the schema says it better.
                "The answer.".clone_into(&mut response.description);
            }
        }
        operation.responses.responses.insert("default".to_owned(), RefOr::T(problem()));
    }
    router
}

fn problem() -> Response {
    let mut response = Response::new("What went wrong.");
    let schema = Ref::from_schema_name("Problem");
    response.content.insert(PROBLEM_MEDIA_TYPE.to_owned(), RefOr::T(Content::new(Some(schema))));
    response
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, head, options, trace, .. } = item;
    [get, put, post, delete, patch, head, options, trace].into_iter().flatten()
}
