//! Finding the protocol, against servers of every generation over real connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tink_workflow::{ActionId, ActionState, TaskId, WorkflowId};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::super::polling::tests::old_server::{Flavour, OldServer};
use super::super::polling::tests::workflow;
use super::super::polling::{WireContext, WireStatus};
use super::*;

/// An old server on a wire.
#[derive(Clone)]
struct Old(Arc<Mutex<OldServer>>);

impl Old {
    fn new(flavour: Flavour) -> Self {
        let mut flow = workflow("ns/w", &["t/a@w1 x"]);
        flow.actions[0].on_failure = vec!["clean up".to_owned()];
        flow.actions[0].timeout_s = 90;
        flow.actions[0].environment = vec!["A=b=c".to_owned()];
        Self(Arc::new(Mutex::new(OldServer::new(flavour, vec![flow]))))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OldServer> {
        self.0.lock().unwrap()
    }
}

type Contexts<T> = Response<tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>>;

/// The worker's calls, which have the same messages on both old wires.
macro_rules! old_calls {
    ($wire:path) => {
        use $wire as wire;

        pub(super) fn wire_state(state: ActionState) -> i32 {
            match state {
                ActionState::Pending => 0,
                ActionState::Running => 1,
                ActionState::Failed => 2,
                ActionState::Timeout => 3,
                ActionState::Success => 4,
            }
        }

        pub(super) fn state_of(state: i32) -> ActionState {
            [
                ActionState::Pending,
                ActionState::Running,
                ActionState::Failed,
                ActionState::Timeout,
                ActionState::Success,
            ][usize::try_from(state).unwrap()]
        }

        pub(super) fn wire_context(context: WireContext) -> wire::WorkflowContext {
            wire::WorkflowContext {
                workflow_id: context.workflow,
                current_worker: "w1".to_owned(),
                current_task: context.task,
                current_action: context.action,
                current_action_index: context.index,
                current_action_state: wire_state(context.state),
                total_number_of_actions: context.total,
            }
        }

        pub(super) fn contexts(old: &Old, worker: &str) -> Contexts<wire::WorkflowContext> {
            let contexts = old.lock().contexts(worker);
            let contexts: Vec<_> = contexts.into_iter().map(|context| Ok(wire_context(context))).collect();
            let mut answer = Response::new(tokio_stream::iter(contexts));
            let lease_s = old.lock().lease_s;
            if lease_s > 0 {
                answer.metadata_mut().insert("tink-lease-seconds", lease_s.into());
            }
            answer
        }

        pub(super) fn actions(old: &Old, id: &str) -> Result<Response<wire::WorkflowActionList>, Status> {
            let actions = old.lock().actions(id)?;
            let action_list = actions.into_iter().map(|action| wire::WorkflowAction {
                task_name: action.task,
                name: action.name,
                image: action.image,
                timeout: action.timeout_s,
                command: action.command,
                on_timeout: action.on_timeout,
                on_failure: action.on_failure,
                worker_id: action.worker,
                volumes: action.volumes,
                environment: action.environment,
                pid: action.pid,
            });
            Ok(Response::new(wire::WorkflowActionList { action_list: action_list.collect() }))
        }

        pub(super) fn report(old: &Old, said: wire::WorkflowActionStatus) -> Result<Response<wire::Empty>, Status> {
            assert_eq!(said.created_at, None, "the server's clock says when");
            let status = WireStatus {
                workflow: said.workflow_id,
                task: said.task_name,
                action: said.action_name,
                state: state_of(said.action_status),
                seconds: said.seconds,
                message: said.message,
                worker: said.worker_id,
            };
            let mut answer = Response::new(wire::Empty {});
            let refused = old.lock().refused;
            match refused {
                Some(why) => drop(answer.metadata_mut().insert("tink-refused", why.parse().unwrap())),
                None => old.lock().report(&status)?,
            }
            Ok(answer)
        }
    };
}

mod year_2023 {
    use tink_proto::v2023::workflow_service_server::WorkflowService;

    use super::*;

    old_calls!(tink_proto::v2023);

    #[tonic::async_trait]
    impl WorkflowService for Old {
        type GetWorkflowContextsStream = tokio_stream::Iter<std::vec::IntoIter<Result<wire::WorkflowContext, Status>>>;

        async fn get_workflow_contexts(
            &self,
            request: Request<wire::WorkflowContextRequest>,
        ) -> Result<Contexts<wire::WorkflowContext>, Status> {
            Ok(contexts(self, &request.into_inner().worker_id))
        }

        async fn get_workflow_actions(
            &self,
            request: Request<wire::WorkflowActionsRequest>,
        ) -> Result<Response<wire::WorkflowActionList>, Status> {
            actions(self, &request.into_inner().workflow_id)
        }

        async fn report_action_status(
            &self,
            request: Request<wire::WorkflowActionStatus>,
        ) -> Result<Response<wire::Empty>, Status> {
            report(self, request.into_inner())
        }
    }
}

mod year_2021 {
    use tink_proto::v2021::workflow::workflow_service_server::WorkflowService;

    use super::*;

    old_calls!(tink_proto::v2021::workflow);

    fn not_here<T>() -> Result<Response<T>, Status> {
        Err(Status::unimplemented("not a call of workers"))
    }

    #[tonic::async_trait]
    impl WorkflowService for Old {
        type GetWorkflowContextsStream = tokio_stream::Iter<std::vec::IntoIter<Result<wire::WorkflowContext, Status>>>;
        type ListWorkflowsStream = tokio_stream::Empty<Result<wire::Workflow, Status>>;
        type ShowWorkflowEventsStream = tokio_stream::Empty<Result<wire::WorkflowActionStatus, Status>>;

        async fn get_workflow_contexts(
            &self,
            request: Request<wire::WorkflowContextRequest>,
        ) -> Result<Contexts<wire::WorkflowContext>, Status> {
            Ok(contexts(self, &request.into_inner().worker_id))
        }

        async fn get_workflow_context_list(
            &self,
            request: Request<wire::WorkflowContextRequest>,
        ) -> Result<Response<wire::WorkflowContextList>, Status> {
            let all = self.lock().all_contexts(&request.into_inner().worker_id)?;
            let workflow_contexts = all.into_iter().map(wire_context).collect();
            Ok(Response::new(wire::WorkflowContextList { workflow_contexts }))
        }

        async fn get_workflow_context(
            &self,
            request: Request<wire::GetRequest>,
        ) -> Result<Response<wire::WorkflowContext>, Status> {
            let context = self.lock().context(&request.into_inner().id)?;
            Ok(Response::new(context.map(wire_context).unwrap_or_default()))
        }

        async fn get_workflow_actions(
            &self,
            request: Request<wire::WorkflowActionsRequest>,
        ) -> Result<Response<wire::WorkflowActionList>, Status> {
            actions(self, &request.into_inner().workflow_id)
        }

        async fn report_action_status(
            &self,
            request: Request<wire::WorkflowActionStatus>,
        ) -> Result<Response<wire::Empty>, Status> {
            report(self, request.into_inner())
        }

        async fn get_workflow_data(
            &self,
            request: Request<wire::GetWorkflowDataRequest>,
        ) -> Result<Response<wire::GetWorkflowDataResponse>, Status> {
            let said = request.into_inner();
            assert_eq!(said.version, 0, "the newest is asked for");
            let server = self.lock();
            let newest = server.data.get(&said.workflow_id).and_then(|versions| versions.last().cloned());
            let data = newest.map(|(_, data)| data.into_bytes()).unwrap_or_default();
            Ok(Response::new(wire::GetWorkflowDataResponse { data, version: 0 }))
        }

        async fn update_workflow_data(
            &self,
            request: Request<wire::UpdateWorkflowDataRequest>,
        ) -> Result<Response<wire::Empty>, Status> {
            let said = request.into_inner();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            let version = (text(said.metadata), text(said.data));
            self.lock().data.entry(said.workflow_id).or_default().push(version);
            Ok(Response::new(wire::Empty {}))
        }

        async fn create_workflow(
            &self,
            _request: Request<wire::CreateRequest>,
        ) -> Result<Response<wire::CreateResponse>, Status> {
            not_here()
        }

        async fn get_workflow(&self, _request: Request<wire::GetRequest>) -> Result<Response<wire::Workflow>, Status> {
            not_here()
        }

        async fn delete_workflow(&self, _request: Request<wire::GetRequest>) -> Result<Response<wire::Empty>, Status> {
            not_here()
        }

        async fn list_workflows(
            &self,
            _request: Request<wire::Empty>,
        ) -> Result<Response<Self::ListWorkflowsStream>, Status> {
            not_here()
        }

        async fn show_workflow_events(
            &self,
            _request: Request<wire::GetRequest>,
        ) -> Result<Response<Self::ShowWorkflowEventsStream>, Status> {
            not_here()
        }

        async fn get_workflow_metadata(
            &self,
            _request: Request<wire::GetWorkflowDataRequest>,
        ) -> Result<Response<wire::GetWorkflowDataResponse>, Status> {
            not_here()
        }

        async fn get_workflow_data_version(
            &self,
            _request: Request<wire::GetWorkflowDataRequest>,
        ) -> Result<Response<wire::GetWorkflowDataResponse>, Status> {
            not_here()
        }
    }
}

mod year_2025 {
    use tink_proto::v2025::workflow_service_server::WorkflowService;
    use tink_proto::v2025::{ActionRequest, ActionResponse, ActionStatusRequest, ActionStatusResponse};

    use super::*;

    #[derive(Clone, Default)]
    pub(super) struct New(pub(super) Arc<Mutex<Vec<String>>>);

    #[tonic::async_trait]
    impl WorkflowService for New {
        async fn get_action(&self, _request: Request<ActionRequest>) -> Result<Response<ActionResponse>, Status> {
            self.0.lock().unwrap().push("get action".to_owned());
            Err(Status::failed_precondition("nothing"))
        }

        async fn report_action_status(
            &self,
            request: Request<ActionStatusRequest>,
        ) -> Result<Response<ActionStatusResponse>, Status> {
            self.0.lock().unwrap().push(format!("report of {}", request.into_inner().action_id.unwrap_or_default()));
            Ok(Response::new(ActionStatusResponse {}))
        }
    }
}

fn of_2021(old: &Old) -> Routes {
    Routes::new(tink_proto::v2021::workflow::workflow_service_server::WorkflowServiceServer::new(old.clone()))
}

fn of_2023(old: &Old) -> Routes {
    Routes::new(tink_proto::v2023::workflow_service_server::WorkflowServiceServer::new(old.clone()))
}

fn of_2025(new: &year_2025::New) -> Routes {
    Routes::new(tink_proto::v2025::workflow_service_server::WorkflowServiceServer::new(new.clone()))
}

/// A server with threads of its own, so that its connections die with it.
fn serve(routes: Routes, at: &str) -> (tokio::runtime::Runtime, SocketAddr) {
    let machine = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let at = at.to_owned();
    let (bound, address) = std::sync::mpsc::channel();
    machine.spawn(async move {
        let listener = bind(&at).await;
        bound.send(listener.local_addr().unwrap()).unwrap();
        let server = tonic::transport::Server::builder().add_routes(routes);
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    let address = address.recv_timeout(Duration::from_secs(60)).unwrap();
    (machine, address)
}

/// A place that was left a moment ago may be taken a moment longer.
async fn bind(at: &str) -> TcpListener {
    for _ in 0..500 {
        match TcpListener::bind(at).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            bound => return bound.unwrap(),
        }
    }
    panic!("{at} is not free again");
}

fn transport(address: SocketAddr, protocol: &str) -> GrpcTransport {
    let mut settings = GrpcSettings::plaintext(address.to_string());
    settings.polling.data_dir = std::env::temp_dir().join(format!("tink-worker-auto-{}", std::process::id()));
    let worker = WorkerId::parse("w1").unwrap();
    GrpcTransport::new(&settings, &worker, protocol.parse().unwrap()).unwrap()
}

/// Asks until the server answers.
async fn next(transport: &GrpcTransport) -> Next {
    for _ in 0..200 {
        match transport.next().await {
            Ok(next) => return next,
            Err(error) => assert!(!error.is_answer(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the server is not found again");
}

fn todays_report() -> Report {
    Report {
        workflow: WorkflowId::parse("ns/w").unwrap(),
        task: TaskId::parse("t1").unwrap(),
        action: ActionId::parse("01JD2Z6Y9Q3V5T7X8W0A1B2C3D").unwrap(),
        action_name: "a".to_owned(),
        worker: WorkerId::parse("w1").unwrap(),
        state: ActionState::Success,
        started_at: None,
        stopped_at: None,
        duration: "3s".to_owned(),
        message: "exit code 0".to_owned(),
        leaving: false,
    }
}

#[test]
fn protocols_are_read_and_others_are_not() {
    assert_eq!("AUTO".parse(), Ok(Protocol::Auto));
    for year in [Year::Y2021, Year::Y2023, Year::Y2025] {
        assert_eq!(year.to_string().parse(), Ok(Protocol::Year(year)));
    }
    assert!("2022".parse::<Protocol>().is_err());
}

#[tokio::test]
async fn an_action_goes_through_both_old_wires_and_its_data_through_that_of_2021() {
    for (year, flavour) in [("2021", Flavour::Sql), ("2021", Flavour::Kubernetes), ("2023", Flavour::Kubernetes)] {
        let old = Old::new(flavour);
        let routes = if year == "2021" { of_2021(&old) } else { of_2023(&old) };
        let (server, address) = serve(routes, "127.0.0.1:0");
        for protocol in ["auto", year] {
            old.lock().workflows = Old::new(flavour).lock().workflows.clone();
            let taken = old.lock().taken.len();
            let transport = transport(address, protocol);
            let Next::Action(assignment) = next(&transport).await else { panic!("{year} {protocol}") };
            assert_eq!((assignment.name.as_str(), assignment.timeout_s), ("a", 90));
            assert_eq!(assignment.environment, ["A=b=c"]);
            assert_eq!(assignment.on_failure, ["clean up"]);
            let running = Report::running(&assignment, "x");
            assert_eq!(transport.report(&running).await.unwrap(), Ack::Accepted);
            assert_eq!(transport.report(&running).await.unwrap(), Ack::Accepted, "a second time changes nothing");
            let directory = assignment.volumes[0].strip_suffix(":/workflow").unwrap();
            if year == "2021" {
                std::fs::write(format!("{directory}/data"), r#"{"a":1}"#).unwrap();
            }
            let times = ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-01-01T00:01:01Z".parse().unwrap());
            let result = Report {
                state: ActionState::Success,
                started_at: Some(times.0),
                stopped_at: Some(times.1),
                duration: "1m1s".to_owned(),
                ..running
            };
            assert_eq!(transport.report(&result).await.unwrap(), Ack::Accepted);
            let _ = transport.report(&result).await.unwrap();
            let said = old.lock();
            let mut said: Vec<_> = said.taken[taken..].iter().map(|status| (status.state, status.seconds)).collect();
            // A server that lists a workflow no more is told again what it may know.
            said.dedup();
            assert_eq!(said, [(ActionState::Running, 0), (ActionState::Success, 61)], "{year} {protocol}");
        }
        assert_eq!(old.lock().data.contains_key("ns/w"), year == "2021");
        assert!(old.lock().panics.is_empty());
        server.shutdown_background();
    }
    let _ = std::fs::remove_dir_all(std::env::temp_dir().join(format!("tink-worker-auto-{}", std::process::id())));
}

#[tokio::test]
async fn a_result_that_our_server_acknowledges_and_drops_is_refused_in_its_words() {
    for (year, routes) in [("2021", of_2021 as fn(&Old) -> Routes), ("2023", of_2023)] {
        let old = Old::new(Flavour::Kubernetes);
        let (server, address) = serve(routes(&old), "127.0.0.1:0");
        let transport = transport(address, "auto");
        let Next::Action(assignment) = next(&transport).await else { panic!() };
        let running = Report::running(&assignment, "x");
        assert_eq!(transport.report(&running).await.unwrap(), Ack::Accepted);
        old.lock().refused = Some("workflow ns/w was deleted");
        let result = Report { state: ActionState::Success, ..running };
        let ack = transport.report(&result).await.unwrap();
        assert_eq!(ack, Ack::Refused("workflow ns/w was deleted".to_owned()), "{year}");
        server.shutdown_background();
    }
}

#[tokio::test]
async fn a_lease_is_renewed_by_a_look_and_only_where_the_server_has_leases() {
    for (year, routes) in [("2021", of_2021 as fn(&Old) -> Routes), ("2023", of_2023)] {
        for lease_s in [0, 60] {
            let old = Old::new(Flavour::Kubernetes);
            old.lock().lease_s = lease_s;
            let (server, address) = serve(routes(&old), "127.0.0.1:0");
            let transport = transport(address, "auto");
            let Next::Action(assignment) = next(&transport).await else { panic!() };
            assert_eq!(assignment.lease_s, lease_s, "{year}");
            let running = Report::running(&assignment, "x");
            transport.report(&running).await.unwrap();
            let heard = || {
                let server = old.lock();
                (server.looks, server.taken.len())
            };
            let before = heard();
            transport.renew(&running).await.unwrap();
            assert_eq!(heard(), (before.0 + 1, before.1), "{year}");
            server.shutdown_background();
        }
    }
}

#[tokio::test]
async fn a_server_that_is_replaced_is_asked_for_its_protocol_again() {
    let old = Old::new(Flavour::Kubernetes);
    old.lock().workflows.clear();
    let new = year_2025::New::default();
    let (server, address) = serve(of_2021(&old), "127.0.0.1:0");
    let transport = transport(address, "auto");
    assert_eq!(next(&transport).await, Next::Nothing);
    let chosen = |transport: &GrpcTransport| transport.wires[transport.chosen().at].0;
    assert_eq!(chosen(&transport), Year::Y2021);
    let mut server = server;
    // Up and down, and up again.
    for (year, routes) in [
        (Year::Y2023, of_2023(&old)),
        (Year::Y2025, of_2025(&new)),
        (Year::Y2021, of_2021(&old)),
        (Year::Y2025, of_2025(&new)),
    ] {
        server.shutdown_background();
        // Until the old connections are gone, calls may still be answered.
        while transport.next().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server = serve(routes, &address.to_string()).0;
        for _ in 0..3 {
            assert_eq!(next(&transport).await, Next::Nothing);
        }
        assert_eq!(chosen(&transport), year);
    }
    server.shutdown_background();
}

#[tokio::test]
async fn what_was_found_is_not_asked_for_at_every_call() {
    let old = Old::new(Flavour::Kubernetes);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let routes = of_2023(&old).into_axum_router().layer(tower::util::MapRequestLayer::new(
        move |request: http::Request<axum::body::Body>| {
            seen.lock().unwrap().push(request.uri().path().to_owned());
            request
        },
    ));
    let (server, address) = serve(Routes::from(routes), "127.0.0.1:0");
    let transport = transport(address, "auto");
    for _ in 0..5 {
        assert!(matches!(next(&transport).await, Next::Action(_)));
    }
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.iter().filter(|path| path.ends_with("/GetAction")).count(), 1, "{asked:?}");
    server.shutdown_background();
}

#[tokio::test]
async fn a_report_goes_out_on_the_wire_its_action_came_by() {
    let old = Old::new(Flavour::Kubernetes);
    let new = year_2025::New::default();
    let (server, address) = serve(of_2023(&old), "127.0.0.1:0");
    let transport = transport(address, "auto");
    let Next::Action(assignment) = next(&transport).await else { panic!() };
    transport.report(&Report::running(&assignment, "x")).await.unwrap();
    // An action of today's wire: this server cannot take it, and so it is kept.
    let error = transport.report(&todays_report()).await.unwrap_err();
    assert!(error.is_answer(), "{error}");
    assert_eq!(old.lock().taken.len(), 1);
    server.shutdown_background();
    while transport.next().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let server = serve(of_2025(&new), &address.to_string()).0;
    assert_eq!(next(&transport).await, Next::Nothing);
    assert_eq!(transport.report(&todays_report()).await.unwrap(), Ack::Accepted);
    let derived = Report { state: ActionState::Success, ..Report::running(&assignment, "x") };
    let error = transport.report(&derived).await.unwrap_err();
    assert!(error.is_unimplemented(), "{error}");
    let said = new.0.lock().unwrap().clone();
    assert!(
        said.contains(&"report of 01JD2Z6Y9Q3V5T7X8W0A1B2C3D".to_owned())
            && said.iter().all(|what| !what.contains("wf-"))
    );
    server.shutdown_background();
}

#[tokio::test]
async fn a_server_that_has_no_calls_for_workers_is_named_and_asked_again() {
    let (server, address) = serve(Routes::default(), "127.0.0.1:0");
    let transport = transport(address, "auto");
    for _ in 0..2 {
        let error = loop {
            match transport.next().await.unwrap_err() {
                error if error.is_answer() => break error,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert!(error.is_unimplemented(), "{error}");
    }
    server.shutdown_background();
}
