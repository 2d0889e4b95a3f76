//! The data that the actions of a workflow share: a JSON object that workers fetch before and store after each action.

use serde_json::Value;
use sha2::{Digest, Sha256};
use tink_proto::v2021::workflow::{GetWorkflowDataRequest, GetWorkflowDataResponse, UpdateWorkflowDataRequest};
use tonic::Status;

use super::{Api, of_store};
use crate::services::contexts::Answer;
use crate::store::{NewData, StoredData};

/// Bytes of the data; what workers send at most, unless they are told otherwise.
const DATA_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Bytes of the metadata, without what is left out of it.
const METADATA_BYTES_MAX: usize = 64 * 1024;

impl Api {
    /// The data of a version, 0 for the newest; empty when there is none.
    pub async fn workflow_data(&self, request: GetWorkflowDataRequest) -> Result<GetWorkflowDataResponse, Status> {
        let found = self.data_version(&request).await?;
        let version = found.as_ref().map_or(0, number);
        Ok(GetWorkflowDataResponse { data: found.and_then(|found| found.data).unwrap_or_default(), version })
    }

    /// The metadata of a version, 0 for the newest; empty when there is none.
    pub async fn workflow_metadata(&self, request: GetWorkflowDataRequest) -> Result<GetWorkflowDataResponse, Status> {
        let found = self.data_version(&request).await?;
        let version = found.as_ref().map_or(0, number);
        Ok(GetWorkflowDataResponse { data: found.map(|found| found.metadata).unwrap_or_default(), version })
    }

    /// The number of the newest version, 0 when there is none.
    pub async fn workflow_data_version(
        &self,
        request: GetWorkflowDataRequest,
    ) -> Result<GetWorkflowDataResponse, Status> {
        let found = self.data_version(&GetWorkflowDataRequest { version: 0, ..request }).await?;
        Ok(GetWorkflowDataResponse { data: Vec::new(), version: found.as_ref().map_or(0, number) })
    }

    async fn data_version(&self, request: &GetWorkflowDataRequest) -> Result<Option<StoredData>, Status> {
        let id = self.contexts.ids().parse(&request.workflow_id)?;
        if request.version < 0 {
            return Err(Status::invalid_argument("invalid version: it is negative; 0 is the newest"));
        }
        self.engine.store.data(&id, request.version.into()).await.map_err(of_store)
    }

    /// Stores the next version. A worker ends its process on an error: for a workflow that is gone it gets OK.
    pub async fn update_workflow_data(&self, request: UpdateWorkflowDataRequest) -> Result<Answer, Status> {
        let id = self.contexts.ids().parse(&request.workflow_id)?;
        if request.data.len() > DATA_BYTES_MAX {
            let found = request.data.len();
            return Err(Status::invalid_argument(format!(
                "the data has {found} bytes; at most {DATA_BYTES_MAX} are kept"
            )));
        }
        if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&request.data) {
            return Err(Status::invalid_argument(format!("the data is no JSON: {error}")));
        }
        let metadata = metadata(&request.metadata, &request.data)?;
        let new = NewData { metadata, data: request.data };
        match self.engine.store.put_data(&id, new, self.data_versions).await.map_err(of_store)? {
            Some(_) => Ok(Answer::Taken),
            None => Ok(Answer::Refused(format!("workflow {id} is not here; its data is not kept"))),
        }
    }
}

fn number(data: &StoredData) -> i32 {
    i32::try_from(data.version).unwrap_or(i32::MAX)
}

/// The metadata to keep. What the workers of tink call its `sha256` is no hash but the whole document again, in base64: the
/// true one takes its place.
fn metadata(sent: &[u8], data: &[u8]) -> Result<Vec<u8>, Status> {
    if sent.is_empty() {
        return Ok(Vec::new());
    }
    let mut metadata: Value = serde_json::from_slice(sent)
        .map_err(|error| Status::invalid_argument(format!("the metadata is no JSON: {error}")))?;
    let mut kept = sent.to_vec();
    if let Some(hash) = metadata.get_mut("sha256") {
        let hex: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
        *hash = Value::from(hex);
        kept = metadata.to_string().into_bytes();
    }
    if kept.len() > METADATA_BYTES_MAX {
        let found = kept.len();
        return Err(Status::invalid_argument(format!(
            "the metadata has {found} bytes; at most {METADATA_BYTES_MAX} are kept"
        )));
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_in_the_metadata_gives_way_to_its_hash() {
        let sent = br#"{"workerID":"w","sha256":"e30K47DEQpj8HBSa"}"#;
        let kept: Value = serde_json::from_slice(&metadata(sent, b"{}").unwrap()).unwrap();
        let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(kept, serde_json::json!({"workerID": "w", "sha256": hash}));
        assert_eq!(metadata(b"", b"{}").unwrap(), b"");
        assert_eq!(metadata(b"[1]", b"{}").unwrap(), b"[1]");
        assert!(metadata(b"{", b"{}").is_err());
        assert!(metadata(format!("\"{}\"", "x".repeat(METADATA_BYTES_MAX)).as_bytes(), b"{}").is_err());
    }
}
