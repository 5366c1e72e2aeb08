//! Concurrency limits: how many attempts may run at once, as people set and see them. The dispatcher keeps them.
//!
//! An organization limits itself, its projects and its worker types. What concerns everybody (a service, an account,
//! a worker type of all organizations) is the installation's, and comes from the server's configuration.

use std::collections::BTreeMap;
use std::str::FromStr;

use eve_core::OrgId;
use eve_core::ProjectId;
use eve_core::WorkerTypeName;
use eve_store::OrgTx;
use eve_store::limit;
use eve_store::limit::LimitPut;
use eve_store::limit::LimitRow;
use eve_store::limit::RunningCount;
use eve_store::project;
use eve_store::worker_type;

use crate::Engine;
use crate::Error;
use crate::ErrorKind;
use crate::OpContext;
use crate::nul::has_nul;
use crate::request::limits::MAX_RUNNING;

/// What a limit counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitScope {
    /// Everything of an organization.
    Organization,
    /// A project of an organization.
    Project,
    /// A worker type, of an organization or of all.
    WorkerType,
    /// The agents that are used by this name, of all organizations.
    Service,
    /// The account that workers' agents are signed in with, of all organizations.
    Account,
}

impl LimitScope {
    /// Those that an organization sets for itself.
    const OWN: [Self; 3] = [Self::Organization, Self::Project, Self::WorkerType];
    const ALL: [Self; 5] = [Self::Organization, Self::Project, Self::WorkerType, Self::Service, Self::Account];

    /// The name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Project => "project",
            Self::WorkerType => "worker_type",
            Self::Service => "service",
            Self::Account => "account",
        }
    }
}

impl FromStr for LimitScope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| {
            let text: String = text.chars().take(80).collect();
            let known = Self::OWN.map(Self::name).join(", ");
            Error::invalid(format!("There is no scope `{text}`. There are: {known}."))
        })
    }
}

/// A limit as a member of an organization sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What it counts in.
    pub scope: LimitScope,
    /// Which one; empty for the organization itself.
    pub name: String,
    /// Attempts at once.
    pub max_running: u32,
    /// Attempts of the organization that run now; nothing for a limit of the installation, which counts others' too.
    pub running: Option<i64>,
    /// Whether it is the installation's.
    pub of_installation: bool,
}

/// The installation's limits by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstallationLimits {
    /// Of worker types, each counted over all organizations.
    pub worker_types: BTreeMap<String, u32>,
    /// Of the agents that requests name.
    pub services: BTreeMap<String, u32>,
    /// Of the accounts that workers name.
    pub accounts: BTreeMap<String, u32>,
}

impl Engine {
    /// The limits of the organization with what runs now, and then those of the installation.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn limit_list(&self, ctx: &OpContext) -> Result<Vec<Limit>, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let own = limit::limit_list(&mut tx, Some(ctx.org_id)).await?;
        let counts = if own.is_empty() { Vec::new() } else { limit::limit_counts(&mut tx).await? };
        tx.commit().await?;
        // No tenant's transaction sees these rows. They hold nothing of another organization.
        let mut tx = self.store().platform().await?;
        let installation = limit::installation_limit_list(&mut tx).await?;
        tx.commit().await?;
        own.into_iter().chain(installation).map(|row| shown(row, &counts)).collect()
    }

    /// Sets a limit of the organization, or lifts it. Answers with its name as [`Self::limit_list`] shows it. What
    /// runs already goes on.
    ///
    /// # Errors
    /// When the caller is no admin, the scope is the installation's, or the organization has no such project or worker
    /// type.
    pub async fn limit_put(
        &self,
        ctx: &OpContext,
        scope: LimitScope,
        name: &str,
        max_running: Option<u32>,
    ) -> Result<String, Error> {
        ctx.require_admin()?;
        let subject = Subject::of(scope, name)?;
        let name = subject.name();
        let max_running = max_running.map(within).transpose()?;
        let mut tx = self.store().org(ctx.org_id).await?;
        match limit::limit_put(&mut tx, scope.name(), &name, max_running).await? {
            LimitPut::Lifted => {}
            // Who lifts what was never there has probably mistyped its name.
            LimitPut::Set | LimitPut::NotThere => subject.require(&mut tx, ctx.org_id).await?,
        }
        tx.commit().await?;
        self.inner.dispatcher.limits_changed();
        Ok(name)
    }

    /// Replaces the installation's limits by these. For the start of a server; it is nobody's call.
    ///
    /// # Errors
    /// When a name or a number is not possible, or the database does not answer.
    pub async fn limits_configure(&self, limits: &InstallationLimits) -> Result<(), Error> {
        let rows = limits.rows()?;
        let mut tx = self.store().platform().await?;
        limit::limit_lock(&mut tx).await?;
        limit::limits_configure(&mut tx, &rows).await?;
        tx.commit().await?;
        self.inner.dispatcher.limits_changed();
        Ok(())
    }
}

impl InstallationLimits {
    fn rows(&self) -> Result<Vec<LimitRow>, Error> {
        for name in self.worker_types.keys() {
            worker_type_name(name)?;
        }
        let scopes = [
            (LimitScope::WorkerType, &self.worker_types),
            (LimitScope::Service, &self.services),
            (LimitScope::Account, &self.accounts),
        ];
        let named =
            scopes.into_iter().flat_map(|(scope, limits)| limits.iter().map(move |(name, max)| (scope, name, *max)));
        named
            .map(|(scope, name, max)| {
                if name.is_empty() || has_nul(&name.as_str().into()) {
                    return Err(Error::invalid(format!(
                        "A limit with the scope `{}` has no usable name.",
                        scope.name()
                    )));
                }
                let scope = scope.name().to_owned();
                Ok(LimitRow { org_id: None, scope, name: name.clone(), max_running: within(max)? })
            })
            .collect()
    }
}

/// What a limit of an organization is about.
enum Subject {
    Organization,
    Project(ProjectId),
    WorkerType(WorkerTypeName),
}

impl Subject {
    fn of(scope: LimitScope, name: &str) -> Result<Self, Error> {
        match scope {
            LimitScope::Organization if name.is_empty() => Ok(Self::Organization),
            LimitScope::Organization => {
                Err(Error::invalid("The limit of the organization has no name: it is always the caller's own."))
            }
            LimitScope::Project => name
                .parse()
                .map(Self::Project)
                .map_err(|error| Error::invalid(format!("`name` is not a project: {error}."))),
            LimitScope::WorkerType => worker_type_name(name).map(Self::WorkerType),
            LimitScope::Service | LimitScope::Account => Err(Error::invalid(format!(
                "A limit with the scope `{}` is the installation's. It is set in the section [limits] of the server's \
                 configuration.",
                scope.name()
            ))),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Organization => String::new(),
            Self::Project(project) => project.to_string(),
            Self::WorkerType(name) => name.as_str().to_owned(),
        }
    }

    async fn require(&self, tx: &mut OrgTx, org: OrgId) -> Result<(), Error> {
        match self {
            Self::Organization => Ok(()),
            Self::Project(project) if project::project_exists(tx, *project).await? => Ok(()),
            Self::Project(project) => Err(Error::invalid(format!("The organization has no project `{project}`."))),
            Self::WorkerType(name) => {
                let known = worker_type::worker_type_list(tx, org, None).await?;
                if known.iter().any(|kind| kind.name == *name) {
                    return Ok(());
                }
                Err(crate::worker_type::unknown(name, &known))
            }
        }
    }
}

fn worker_type_name(name: &str) -> Result<WorkerTypeName, Error> {
    name.parse().map_err(|error| Error::new(ErrorKind::InvalidWorkerType, format!("{error}.")))
}

fn within(max_running: u32) -> Result<i32, Error> {
    i32::try_from(max_running)
        .ok()
        .filter(|_| max_running <= MAX_RUNNING)
        .ok_or_else(|| Error::invalid(format!("`max_running` is between 0 and {MAX_RUNNING}.")))
}

fn shown(row: LimitRow, counts: &[RunningCount]) -> Result<Limit, Error> {
    let scope: LimitScope = row.scope.parse()?;
    let counted = |count: &&RunningCount| match scope {
        LimitScope::Organization => true,
        LimitScope::Project => count.project_id.is_some_and(|project| project.to_string() == row.name),
        LimitScope::WorkerType => count.worker_type == row.name,
        LimitScope::Service | LimitScope::Account => false,
    };
    let running = row.org_id.map(|_| counts.iter().filter(counted).map(|count| count.running).sum());
    Ok(Limit {
        scope,
        max_running: u32::try_from(row.max_running).unwrap_or_default(),
        running,
        of_installation: row.org_id.is_none(),
        name: row.name,
    })
}
