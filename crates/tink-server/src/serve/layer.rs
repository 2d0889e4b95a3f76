//! Around every call: it is counted, and a panic in it fails that call alone.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// Methods that are counted under their own name; anything a client invents is `other`, so that the labels stay few.
const METHODS: [&str; 45] = [
    "/proto.WorkflowService/GetAction",
    "/proto.WorkflowService/ReportActionStatus",
    "/proto.WorkflowService/GetWorkflowContexts",
    "/proto.WorkflowService/GetWorkflowActions",
    "/tink.v1.ObjectService/Apply",
    "/tink.v1.ObjectService/Get",
    "/tink.v1.ObjectService/List",
    "/tink.v1.ObjectService/Delete",
    "/tink.v1.WorkflowService/Create",
    "/tink.v1.WorkflowService/Get",
    "/tink.v1.WorkflowService/List",
    "/tink.v1.WorkflowService/Cancel",
    "/tink.v1.WorkflowService/Delete",
    "/tink.v1.WorkflowService/Events",
    "/tink.v1.WorkflowService/Watch",
    "/tink.v1.WorkerService/List",
    "/tink.v1.WorkerService/Get",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/CreateWorkflow",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/GetWorkflow",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/DeleteWorkflow",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/ListWorkflows",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/GetWorkflowContext",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/ShowWorkflowEvents",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/GetWorkflowContextList",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/GetWorkflowContexts",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/GetWorkflowActions",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/ReportActionStatus",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/GetWorkflowData",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/GetWorkflowMetadata",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/GetWorkflowDataVersion",
    "/github.com.tinkerbell.tink.protos.workflow.WorkflowService/UpdateWorkflowData",
    "/github.com.tinkerbell.tink.protos.template.TemplateService/CreateTemplate",
    "/github.com.tinkerbell.tink.protos.template.TemplateService/GetTemplate",
    "/github.com.tinkerbell.tink.protos.template.TemplateService/DeleteTemplate",
    "/github.com.tinkerbell.tink.protos.template.TemplateService/ListTemplates",
    "/github.com.tinkerbell.tink.protos.template.TemplateService/UpdateTemplate",
    "/github.com.tinkerbell.tink.protos.hardware.HardwareService/Push",
    "/github.com.tinkerbell.tink.protos.hardware.HardwareService/ByMAC",
    "/github.com.tinkerbell.tink.protos.hardware.HardwareService/ByIP",
    "/github.com.tinkerbell.tink.protos.hardware.HardwareService/ByID",
    "/github.com.tinkerbell.tink.protos.hardware.HardwareService/All",
    "/github.com.tinkerbell.tink.protos.hardware.HardwareService/Watch",
    "/github.com.tinkerbell.tink.protos.hardware.HardwareService/DeprecatedWatch",
    "/github.com.tinkerbell.tink.protos.hardware.HardwareService/Delete",
    "/github.com.tinkerbell.tink.protos.events.EventsService/Watch",
];

/// Wraps a service in [`Guarded`].
#[derive(Clone)]
pub struct Guard(pub Metrics);

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;
    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, metrics: self.0.clone() }
    }
}

/// Counts calls and catches panics.
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    metrics: Metrics,
}

impl<S> Service<http::Request<Body>> for Guarded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let method = METHODS.into_iter().find(|method| *method == path).unwrap_or("other");
        let metrics = self.metrics.clone();
        // The clone is not ready, the one that was polled is: it must be the one that is called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let answered = AssertUnwindSafe(async move { inner.call(request).await }).catch_unwind().await;
            let response = match answered {
                Ok(answered) => answered?,
                Err(panic) => {
                    tracing::error!(method, panic = said(panic.as_ref()), "a call panicked; this is a bug");
                    metrics.panics.inc();
                    Status::internal("the server failed in this call, which is a bug; its log says more").into_http()
                }
            };
            // Known here for calls that failed; a stream that fails later was answered OK.
            let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
            metrics.called(method, name(code));
            Ok(response)
        })
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)")
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_fails_its_call_and_is_counted() {
        let metrics = Metrics::new();
        let panics = tower::service_fn(|_: http::Request<Body>| async {
            if true {
                panic!("made by a test");
            }
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::empty()))
        });
        let mut guarded = Guard(metrics.clone()).layer(panics);
        let request = http::Request::builder().uri(METHODS[0]).body(Body::empty()).unwrap();
        let response = guarded.call(request).await.unwrap();
        assert_eq!(Status::from_header_map(response.headers()).unwrap().code(), Code::Internal);
        assert_eq!(metrics.panics.get(), 1);
        let text = metrics.render(&[], 0);
        assert!(text.contains(r#"grpc_code="INTERNAL"} 1"#), "{text}");
    }
}
