//! Worker types: who does a request.

use eve_core::WorkerTypeName;
use eve_store::worker_type;
use eve_store::worker_type::WorkerType;

use crate::Engine;
use crate::Error;
use crate::ErrorKind;
use crate::OpContext;
use crate::nul::has_nul;

/// Longest instructions of a worker type, in bytes.
const INSTRUCTIONS_LEN: usize = 256 * 1024;

impl Engine {
    /// The worker types of the organization, by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn worker_type_list(&self, ctx: &OpContext) -> Result<Vec<WorkerType>, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let types = worker_type::worker_type_list(&mut tx, ctx.org_id, None).await?;
        tx.commit().await?;
        Ok(types)
    }

    /// One worker type.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn worker_type_get(&self, ctx: &OpContext, name: &WorkerTypeName) -> Result<WorkerType, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let found = worker_type::worker_type_list(&mut tx, ctx.org_id, Some(name)).await?;
        tx.commit().await?;
        found.into_iter().next().ok_or_else(|| Error::not_found(format!("worker type `{name}`")))
    }

    /// Makes or changes a worker type.
    ///
    /// # Errors
    /// When the caller is no admin, or a limit is exceeded.
    pub async fn worker_type_put(&self, ctx: &OpContext, new: &WorkerType) -> Result<(), Error> {
        ctx.require_admin()?;
        if new.instructions.len() > INSTRUCTIONS_LEN {
            return Err(Error::invalid(format!("The instructions are longer than {INSTRUCTIONS_LEN} bytes.")));
        }
        let texts = serde_json::json!([
            new.title,
            new.description,
            new.capabilities,
            new.instructions,
            new.harness,
            new.model,
            new.image,
            new.config
        ]);
        if has_nul(&texts) {
            return Err(Error::invalid("The worker type holds a NUL character, which no database text can."));
        }
        if new.timeout_seconds < 1 || new.idle_timeout_seconds < 1 || !(1..=100).contains(&new.max_attempts) {
            return Err(Error::invalid("Time limits start at 1 second; max_attempts is between 1 and 100."));
        }
        let mut tx = self.store().org(ctx.org_id).await?;
        worker_type::worker_type_put(&mut tx, ctx.org_id, new).await?;
        tx.commit().await?;
        self.inner.catalog.forget_types(ctx.org_id);
        Ok(())
    }
}

/// The error for a name that is none of these.
pub(crate) fn unknown(name: &WorkerTypeName, known: &[WorkerType]) -> Error {
    let known: Vec<&str> = known.iter().map(|kind| kind.name.as_str()).collect();
    let detail = format!("Invalid worker type `{name}`. There are: {}.", known.join(", "));
    Error::new(ErrorKind::InvalidWorkerType, detail)
}
