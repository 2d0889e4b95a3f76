//! Failures as an administrator sees them.

use tonic::Status;

use crate::engine::EngineError;
use crate::store::StoreError;

/// The status for a failure of the store; the causes go to the log.
pub fn of_store(error: StoreError) -> Status {
    tracing::warn!(error = %tink_error::chain(&error), "call failed");
    match &error {
        StoreError::Damaged { .. } => Status::data_loss(error.to_string()),
        _ => Status::unavailable(error.to_string()),
    }
}

/// The status for a failure of the engine.
pub fn of_engine(error: EngineError) -> Status {
    match error {
        EngineError::NoWorkflow(_) => Status::not_found(error.to_string()),
        EngineError::Exists(_) => Status::already_exists(error.to_string()),
        EngineError::Refused(_) => Status::failed_precondition(error.to_string()),
        EngineError::Contended(_) => Status::unavailable(error.to_string()),
        EngineError::Store(store) => of_store(store),
    }
}

/// INVALID_ARGUMENT with all findings, one a line.
pub fn findings(findings: &[String]) -> Status {
    Status::invalid_argument(findings.join("\n"))
}
