//! The gRPC port: every service, health and reflection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tink_proto::admin::object_service_server::ObjectServiceServer;
use tink_proto::admin::worker_service_server::WorkerServiceServer;
use tink_proto::admin::workflow_service_server::WorkflowServiceServer as AdminWorkflowServiceServer;
use tink_proto::v2021::events::events_service_server::EventsServiceServer;
use tink_proto::v2021::hardware::hardware_service_server::HardwareServiceServer;
use tink_proto::v2021::template::template_service_server::TemplateServiceServer;
use tink_proto::v2021::workflow::workflow_service_server::WorkflowServiceServer as WorkflowServiceServerOf2021;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;

use super::layer::Guard;
use super::listener::{self, Connection};
use super::tls::Tls;
use crate::engine::Engine;
use crate::services::{ProtoWorkflowService, admin, v2021, v2023, v2025};

/// A silent connection is asked for a sign of life, and dropped without one: a machine that lost power must not hold a
/// place, nor a call.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Calls of one connection at once. Each may be a message of the largest size that is still arriving.
const STREAMS_MAX: u32 = 100;
/// Connections that are accepted and not yet served.
const BACKLOG: usize = 64;

/// What the port needs to know.
#[derive(Clone, Copy)]
pub struct Limits {
    /// How long a GetAction is held.
    pub hold: Duration,
    /// Bytes of a message from a client.
    pub message_bytes_max: usize,
    /// Connections at once.
    pub connections_max: usize,
    /// Whether templates get the objects that their hardware refers to.
    pub references_allowed: bool,
}

/// Serves until `stop`, then until every call is answered.
///
/// # Errors
/// A failure of the transport as a whole.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    engine: Arc<Engine>,
    of_2021: Arc<v2021::Api>,
    limits: Limits,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (ready, connections) = mpsc::channel::<io::Result<Connection>>(BACKLOG);
    let max = limits.message_bytes_max;
    let agents = v2025::Agents::new(Arc::clone(&engine), limits.hold, stop.clone());
    let workers = v2023::Workers::new(Arc::clone(&engine), limits.hold, stop.clone());
    let workflows = admin::Workflows::new(Arc::clone(&engine), limits.references_allowed, stop.clone());
    let (reporter, health) = tonic_health::server::health_reporter();
    set_health(&reporter, true).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tink_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // By itself each version names itself alone.
            .include_reflection_service(false)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
    };
    let router = Server::builder()
        .layer(Guard(engine.metrics.clone()))
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(ProtoWorkflowService::new(agents, workers, max))
        .add_service(
            WorkflowServiceServerOf2021::new(v2021::WorkflowGrpc(Arc::clone(&of_2021))).max_decoding_message_size(max),
        )
        .add_service(
            TemplateServiceServer::new(v2021::TemplateGrpc(Arc::clone(&of_2021))).max_decoding_message_size(max),
        )
        .add_service(
            HardwareServiceServer::new(v2021::HardwareGrpc(Arc::clone(&of_2021))).max_decoding_message_size(max),
        )
        .add_service(EventsServiceServer::new(v2021::EventsGrpc(of_2021)).max_decoding_message_size(max))
        .add_service(ObjectServiceServer::new(admin::Objects::new(Arc::clone(&engine))).max_decoding_message_size(max))
        .add_service(AdminWorkflowServiceServer::new(workflows).max_decoding_message_size(max))
        .add_service(WorkerServiceServer::new(admin::Workers::new(engine)).max_decoding_message_size(max))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let accepting = listener::accept(listener, tls, limits.connections_max, ready, stop.clone());
    let stopping = async {
        stop.cancelled().await;
        set_health(&reporter, false).await;
    };
    let serving = router.serve_with_incoming_shutdown(ReceiverStream::new(connections), stopping);
    let ((), served) = tokio::join!(accepting, serving);
    Ok(served?)
}

/// Says for the server as a whole and for each service whether it serves.
async fn set_health(reporter: &HealthReporter, serving: bool) {
    let status = if serving { tonic_health::ServingStatus::Serving } else { tonic_health::ServingStatus::NotServing };
    let services = [
        "",
        "proto.WorkflowService",
        "github.com.tinkerbell.tink.protos.workflow.WorkflowService",
        "github.com.tinkerbell.tink.protos.template.TemplateService",
        "github.com.tinkerbell.tink.protos.hardware.HardwareService",
        "github.com.tinkerbell.tink.protos.events.EventsService",
        "tink.v1.ObjectService",
        "tink.v1.WorkflowService",
        "tink.v1.WorkerService",
    ];
    for service in services {
        reporter.set_service_status(service, status).await;
    }
}
