//! Who is calling: the identity that every engine method asks for, had from nothing but a credential.
//!
//! A handler that names [`OpContext`] or [`WorkerContext`] first among its arguments is authenticated before
//! anything else of the request is read; one that names neither has nothing to call the engine with.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use eve_engine::OpContext;
use eve_engine::WorkerContext;

use crate::App;
use crate::error::ApiError;

/// The header for clients that cannot set `Authorization`.
pub(crate) const API_KEY_HEADER: &str = "x-api-key";

/// The key or token that came with a request; empty if none did, which the engine refuses like any wrong one.
#[derive(Clone)]
pub(crate) struct Credential(String);

impl Credential {
    /// The key or token.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Credential {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = header(header::AUTHORIZATION.as_str())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, credential)| credential.trim());
        Ok(Self(bearer.or_else(|| header(API_KEY_HEADER)).unwrap_or_default().to_owned()))
    }
}

impl FromRequestParts<App> for OpContext {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Ok(credential) = Credential::from_request_parts(parts, app).await;
        Ok(app.engine.authenticate(credential.text()).await?)
    }
}

impl FromRequestParts<App> for WorkerContext {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Ok(credential) = Credential::from_request_parts(parts, app).await;
        Ok(app.engine.worker_authenticate(credential.text()).await?)
    }
}
