//! The transport against a small server of the same wire, whose answers are scripted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tink_proto::v2025::workflow_service_server::{WorkflowService, WorkflowServiceServer};
use tink_proto::v2025::{ActionStatusResponse, NO_ACTION_AVAILABLE, Namespaces};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;

/// What the server answers to a call, in order; then it says that there is nothing.
enum Answer {
    Offer(Box<ActionResponse>),
    Refuse(Status),
    /// OK to a report that is not taken, as our server says it.
    Drop(&'static str),
    Hang,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<ActionRequest>>,
    reports: Mutex<Vec<ActionStatusRequest>>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Script>);

impl Scripted {
    fn with(answers: impl IntoIterator<Item = Answer>) -> Self {
        let scripted = Self::default();
        scripted.0.answers.lock().unwrap().extend(answers);
        scripted
    }

    fn next(&self) -> Option<Answer> {
        self.0.answers.lock().unwrap().pop_front()
    }
}

#[tonic::async_trait]
impl WorkflowService for Scripted {
    async fn get_action(&self, request: Request<ActionRequest>) -> Result<Response<ActionResponse>, Status> {
        self.0.requests.lock().unwrap().push(request.into_inner());
        match self.next() {
            Some(Answer::Offer(response)) => Ok(Response::new(*response)),
            Some(Answer::Refuse(status)) => Err(status),
            Some(Answer::Hang) => std::future::pending().await,
            Some(Answer::Drop(_)) | None => Err(Status::failed_precondition("nothing")),
        }
    }

    async fn report_action_status(
        &self,
        request: Request<ActionStatusRequest>,
    ) -> Result<Response<ActionStatusResponse>, Status> {
        self.0.reports.lock().unwrap().push(request.into_inner());
        match self.next() {
            Some(Answer::Refuse(status)) => Err(status),
            Some(Answer::Hang) => std::future::pending().await,
            Some(Answer::Drop(why)) => {
                let mut answer = Response::new(ActionStatusResponse {});
                answer.metadata_mut().insert("tink-refused", why.parse().unwrap());
                Ok(answer)
            }
            Some(Answer::Offer(_)) | None => Ok(Response::new(ActionStatusResponse {})),
        }
    }
}

async fn serve(service: Scripted, at: &str) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_service(WorkflowServiceServer::new(service));
    let task = tokio::spawn(async move {
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    (address, task)
}

fn settings(address: SocketAddr) -> GrpcSettings {
    GrpcSettings {
        next_timeout: Duration::from_millis(500),
        report_timeout: Duration::from_millis(500),
        connect_timeout: Duration::from_secs(5),
        ..GrpcSettings::plaintext(address.to_string())
    }
}

fn worker() -> WorkerId {
    WorkerId::parse("02:00:00:00:00:01").unwrap()
}

async fn transport(service: Scripted) -> Transport2025 {
    let (address, _) = serve(service, "127.0.0.1:0").await;
    Transport2025::new(&settings(address), worker()).unwrap()
}

fn offer() -> ActionResponse {
    ActionResponse {
        workflow_id: Some("default/w".to_owned()),
        task_id: Some("t1".to_owned()),
        agent_id: Some(worker().to_string()),
        action_id: Some("a1".to_owned()),
        name: Some("stream image".to_owned()),
        image: Some("quay.io/x/y".to_owned()),
        timeout: Some(90),
        command: vec!["-c".to_owned(), "true".to_owned()],
        volumes: vec!["/dev:/dev".to_owned()],
        environment: vec!["A=b=c".to_owned()],
        pid: Some("host".to_owned()),
        namespaces: None,
        ends_machine: None,
    }
}

fn report() -> Report {
    let assignment = assignment(offer(), &worker()).unwrap();
    Report { state: ActionState::Success, ..Report::running(&assignment, "exit code 0") }
}

#[tokio::test]
async fn an_offer_becomes_an_assignment() {
    let service = Scripted::with([Answer::Offer(Box::new(offer()))]);
    let transport = transport(service.clone()).await;
    let Next::Action(assignment) = transport.next().await.unwrap() else { panic!() };
    assert_eq!(assignment.workflow.as_str(), "default/w");
    assert_eq!((assignment.timeout_s, assignment.pid.as_str(), assignment.network.as_str()), (90, "host", ""));
    assert_eq!(assignment.environment, ["A=b=c"]);
    let requests = service.0.requests.lock().unwrap().clone();
    assert_eq!(requests[0].agent_id.as_deref(), Some("02:00:00:00:00:01"));
}

#[test]
fn namespaces_win_over_the_older_field_and_a_negative_timeout_is_none() {
    let namespaces = |pid: &str| Some(Namespaces { network: Some("host".to_owned()), pid: Some(pid.to_owned()) });
    let wire = ActionResponse { namespaces: namespaces("container:x"), timeout: Some(-1), ..offer() };
    let taken = assignment(wire, &worker()).unwrap();
    assert_eq!((taken.pid.as_str(), taken.network.as_str(), taken.timeout_s), ("container:x", "host", 0));
    let wire = ActionResponse { namespaces: namespaces(""), agent_id: None, ..offer() };
    let taken = assignment(wire, &worker()).unwrap();
    assert_eq!((taken.pid.as_str(), taken.worker), ("host", worker()));
}

#[tokio::test]
async fn the_statuses_that_mean_nothing_to_do_are_no_errors() {
    let mut detail = ErrorDetails::new();
    detail.add_precondition_failure_violation(NO_ACTION_AVAILABLE, "worker", "no action");
    let service = Scripted::with([
        Answer::Refuse(Status::not_found("no Workflows found")),
        Answer::Refuse(Status::failed_precondition("current Action not in success state")),
        Answer::Refuse(Status::with_error_details(Code::FailedPrecondition, "no action", detail.clone())),
        Answer::Refuse(Status::with_error_details(Code::Unknown, "no action", detail)),
    ]);
    let transport = transport(service).await;
    for _ in 0..4 {
        assert_eq!(transport.next().await.unwrap(), Next::Nothing);
    }
}

#[tokio::test]
async fn other_statuses_are_errors_that_say_whether_the_server_answered() {
    let cases = [
        (Status::internal("error writing to backend"), true),
        (Status::invalid_argument("invalid Agent ID"), true),
        (Status::permission_denied("no"), true),
        (Status::unavailable("server shutting down"), false),
        (Status::cancelled("x"), false),
    ];
    let service = Scripted::with(cases.clone().map(|(status, _)| Answer::Refuse(status)));
    let transport = transport(service).await;
    for (status, answered) in cases {
        let error = transport.next().await.unwrap_err();
        assert_eq!(error.is_answer(), answered, "{error}");
        assert!(error.to_string().contains(status.message()), "{error}");
    }
}

#[tokio::test]
async fn an_offer_that_makes_no_sense_is_named_and_not_taken() {
    let bad = [
        ActionResponse { workflow_id: None, ..offer() },
        ActionResponse { workflow_id: Some("no-namespace".to_owned()), ..offer() },
        ActionResponse { action_id: Some("a\nb".to_owned()), ..offer() },
        ActionResponse { task_id: Some("x".repeat(1000)), ..offer() },
    ];
    let service = Scripted::with(bad.clone().map(|response| Answer::Offer(Box::new(response))));
    let transport = transport(service).await;
    for _ in bad {
        assert!(matches!(transport.next().await, Err(TransportError::Garbage { .. })));
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_left_after_the_deadline() {
    let transport = transport(Scripted::with([Answer::Hang, Answer::Hang])).await;
    let error = transport.next().await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error}");
    let error = transport.report(&report()).await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error}");
    assert_eq!(transport.next().await.unwrap(), Next::Nothing, "the channel is usable after it");
}

#[tokio::test]
async fn a_report_goes_out_while_a_request_for_work_is_held() {
    let service = Scripted::with([Answer::Hang]);
    let transport = Arc::new(transport(service.clone()).await);
    let held = tokio::spawn({
        let transport = Arc::clone(&transport);
        async move { transport.next().await }
    });
    while service.0.requests.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(transport.report(&report()).await.unwrap(), Ack::Accepted);
    assert!(!held.is_finished());
    held.abort();
}

#[tokio::test]
async fn reports_are_written_as_todays_agents_write_them() {
    let service = Scripted::default();
    let transport = transport(service.clone()).await;
    let sent = Report {
        started_at: Some("2026-01-02T03:04:05.5Z".parse().unwrap()),
        duration: "1s500ms".to_owned(),
        ..report()
    };
    assert_eq!(transport.report(&sent).await.unwrap(), Ack::Accepted);
    let wire = service.0.reports.lock().unwrap()[0].clone();
    assert_eq!(wire.workflow_id.as_deref(), Some("default/w"));
    assert_eq!(wire.agent_id.as_deref(), Some("02:00:00:00:00:01"));
    assert_eq!(wire.action_state, Some(StateType::Success.into()));
    assert_eq!(wire.execution_start, Some(WireTimestamp { seconds: 1_767_323_045, nanos: 500_000_000 }));
    assert_eq!(wire.execution_stop, Some(GO_ZERO_TIME));
    assert_eq!(wire.execution_duration.as_deref(), Some("1s500ms"));
    assert_eq!(wire.message.unwrap().message.as_deref(), Some("exit code 0"));
}

#[test]
fn a_time_before_1970_keeps_its_nanoseconds_positive() {
    let time = wire_time(Some("1969-12-31T23:59:59.25Z".parse().unwrap()));
    assert_eq!(time, WireTimestamp { seconds: -1, nanos: 250_000_000 });
}

#[test]
fn an_overlong_message_is_cut_at_a_character() {
    let wire = request(&Report { message: "é".repeat(MESSAGE_BYTES_MAX), ..report() });
    let message = wire.message.unwrap().message.unwrap();
    assert!(message.len() <= MESSAGE_BYTES_MAX && message.ends_with('é'));
}

#[tokio::test]
async fn reports_that_will_never_be_taken_are_refused_and_others_repeated() {
    let service = Scripted::with([
        Answer::Refuse(Status::invalid_argument("invalid workflow id")),
        Answer::Refuse(Status::failed_precondition("contradiction")),
        Answer::Refuse(Status::internal("workflow not found")),
        Answer::Refuse(Status::aborted("conflict")),
        Answer::Refuse(Status::not_found("action not found")),
    ]);
    let transport = transport(service).await;
    for expected in ["InvalidArgument: invalid workflow id", "FailedPrecondition: contradiction"] {
        assert_eq!(transport.report(&report()).await.unwrap(), Ack::Refused(expected.to_owned()));
    }
    for _ in 0..3 {
        assert!(transport.report(&report()).await.unwrap_err().is_answer());
    }
}

#[tokio::test]
async fn an_action_that_the_server_does_not_know_is_not_begun() {
    let asking = [
        Report { state: ActionState::Running, ..report() },
        // About to end the machine, which asks leave as well.
        Report { leaving: true, ..report() },
    ];
    let service = Scripted::with(asking.clone().map(|_| Answer::Refuse(Status::not_found("action not found"))));
    let transport = transport(service).await;
    for report in asking {
        let ack = transport.report(&report).await.unwrap();
        assert_eq!(ack, Ack::Refused("NotFound: action not found".to_owned()));
    }
}

#[tokio::test]
async fn a_result_that_our_server_acknowledges_and_drops_is_refused_in_its_words() {
    let transport = transport(Scripted::with([Answer::Drop("workflow default/w was deleted")])).await;
    let ack = transport.report(&report()).await.unwrap();
    assert_eq!(ack, Ack::Refused("workflow default/w was deleted".to_owned()));
    assert_eq!(transport.report(&report()).await.unwrap(), Ack::Accepted);
}

#[tokio::test]
async fn a_server_that_restarts_is_found_again_by_the_same_channel() {
    // A runtime of its own, so that the server's connections die with it.
    let machine = tokio::runtime::Runtime::new().unwrap();
    let (address, _) = machine.spawn(serve(Scripted::default(), "127.0.0.1:0")).await.unwrap();
    let transport = Transport2025::new(&settings(address), worker()).unwrap();
    assert_eq!(transport.next().await.unwrap(), Next::Nothing);
    machine.shutdown_background();
    // The connections close soon; until then calls are answered or hang.
    let error = loop {
        if let Err(error) = transport.next().await {
            break error;
        }
    };
    assert!(!error.is_answer(), "{error}");
    let (_, _server) = serve(Scripted::default(), &address.to_string()).await;
    let mut tries = 0;
    while transport.next().await.is_err() {
        tries += 1;
        assert!(tries < 100, "the server is not found again");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_in_plain_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let transport = Transport2025::new(&settings(address), worker()).unwrap();
    let error = transport.next().await.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn what_is_no_grpc_server_is_an_error_and_no_panic() {
    for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "\0\0\0\u{1}garbage", ""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await;
            }
        });
        let transport = Transport2025::new(&settings(address), worker()).unwrap();
        let error = transport.next().await.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    }
}

mod tls {
    use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A TLS server with a certificate of its own authority, whose PEM is returned.
    async fn serve_tls(service: Scripted) -> (SocketAddr, String) {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, authority_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    sender.send(Ok::<_, std::io::Error>(stream)).await.unwrap();
                }
            }
        });
        let server = Server::builder().add_service(WorkflowServiceServer::new(service));
        tokio::spawn(server.serve_with_incoming(tokio_stream::wrappers::ReceiverStream::new(receiver)));
        (address, authority.pem())
    }

    #[tokio::test]
    async fn a_servers_certificate_is_verified_unless_told_otherwise() {
        let (address, authority) = serve_tls(Scripted::default()).await;
        let strict = GrpcSettings { tls: true, ..settings(address) };
        let refused = Transport2025::new(&strict, worker()).unwrap().next().await.unwrap_err().to_string();
        assert!(refused.contains("TLS handshake") && refused.contains("--ca-file"), "{refused}");

        let loose = GrpcSettings { insecure_tls: true, ..strict.clone() };
        assert_eq!(Transport2025::new(&loose, worker()).unwrap().next().await.unwrap(), Next::Nothing);

        let dir = tempfile::tempdir().unwrap();
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, authority).unwrap();
        let trusting = GrpcSettings { ca_file: Some(ca_file), ..strict };
        assert_eq!(Transport2025::new(&trusting, worker()).unwrap().next().await.unwrap(), Next::Nothing);
    }

    #[tokio::test]
    async fn a_ca_file_that_cannot_be_read_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        for ca_file in [dir.path().join("missing.pem"), empty] {
            let settings =
                GrpcSettings { tls: true, ca_file: Some(ca_file.clone()), ..GrpcSettings::plaintext("localhost:1") };
            let error = Transport2025::new(&settings, worker()).unwrap_err().to_string();
            assert!(error.contains(&ca_file.display().to_string()), "{error}");
        }
    }
}

mod proxy {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::super::Proxy;
    use super::*;

    /// A proxy that connects every request to `to`, or refuses; returns the heads it saw.
    async fn proxy(to: SocketAddr, status: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                heads.lock().unwrap().push(String::from_utf8(head).unwrap());
                client.write_all(format!("HTTP/1.1 {status}\r\nX: y\r\n\r\n").as_bytes()).await.unwrap();
                if status.starts_with('2') {
                    let mut server = tokio::net::TcpStream::connect(to).await.unwrap();
                    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
                }
            }
        });
        (address, seen)
    }

    fn through(proxy: SocketAddr) -> GrpcSettings {
        let url = format!("http://user:secret@{proxy}");
        let proxy = Proxy::from_env(|name| (name == "HTTPS_PROXY").then(|| url.clone())).unwrap();
        // A name that only the proxy can resolve.
        GrpcSettings { proxy, ..settings("127.0.0.1:1".parse().unwrap()) }
    }

    #[tokio::test]
    async fn a_server_behind_a_proxy_is_reached_by_name() {
        let (server, _) = serve(Scripted::default(), "127.0.0.1:0").await;
        let (address, seen) = proxy(server, "200 OK").await;
        let settings = GrpcSettings { server: "tink.invalid:42113".to_owned(), ..through(address) };
        let transport = Transport2025::new(&settings, worker()).unwrap();
        assert_eq!(transport.next().await.unwrap(), Next::Nothing);
        let head = seen.lock().unwrap()[0].clone();
        assert!(head.starts_with("CONNECT tink.invalid:42113 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"), "{head}");
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_named() {
        let (address, _) = proxy("127.0.0.1:1".parse().unwrap(), "403 Forbidden").await;
        let settings = GrpcSettings { server: "tink.invalid:42113".to_owned(), ..through(address) };
        let error = Transport2025::new(&settings, worker()).unwrap().next().await.unwrap_err().to_string();
        assert!(error.contains("refused to connect to tink.invalid:42113: HTTP/1.1 403 Forbidden"), "{error}");
    }
}
