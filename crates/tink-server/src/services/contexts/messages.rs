//! Translation, written once: both generations have the same messages in modules of their own.

/// Makes `context`, `action`, `said` and `answer` for the messages of a module.
macro_rules! messages {
    ($wire:path) => {
        use $wire as wire;

        pub(in crate::services) fn context(context: $crate::services::contexts::Context) -> wire::WorkflowContext {
            wire::WorkflowContext {
                workflow_id: context.workflow,
                current_worker: context.worker,
                current_task: context.task,
                current_action: context.action,
                current_action_index: context.index,
                current_action_state: context.state as i32,
                total_number_of_actions: context.total,
            }
        }

        fn action(action: $crate::services::contexts::Action) -> wire::WorkflowAction {
            wire::WorkflowAction {
                task_name: action.task,
                name: action.name,
                image: action.image,
                timeout: action.timeout,
                command: action.command,
                on_timeout: action.on_timeout,
                on_failure: action.on_failure,
                worker_id: action.worker,
                volumes: action.volumes,
                environment: action.environment,
                pid: action.pid,
            }
        }

        fn said(report: wire::WorkflowActionStatus) -> $crate::services::contexts::Said {
            $crate::services::contexts::Said {
                workflow: report.workflow_id,
                task: report.task_name,
                action: report.action_name,
                state: report.action_status,
                seconds: report.seconds,
                message: report.message,
                worker: report.worker_id,
            }
        }

        fn answer(answer: $crate::services::contexts::Answer) -> tonic::Response<wire::Empty> {
            let mut response = tonic::Response::new(wire::Empty {});
            if let $crate::services::contexts::Answer::Refused(why) = answer {
                $crate::services::note_refused(response.metadata_mut(), &why);
            }
            response
        }

        /// The contexts that a call ends up with, sent one by one; the call is open until then.
        type ContextStream =
            std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<wire::WorkflowContext, tonic::Status>> + Send>>;

        fn stream(
            contexts: std::sync::Arc<$crate::services::contexts::Contexts>,
            request: tonic::Request<wire::WorkflowContextRequest>,
        ) -> tonic::Response<ContextStream> {
            use futures_util::StreamExt as _;
            let caller = $crate::services::caller_of(&request);
            let manner = $crate::services::contexts::Manner::of(request.metadata());
            let worker = request.into_inner().worker_id;
            let lease = contexts.lease();
            let found = async move {
                let found = match contexts.of_worker(worker, caller, manner).await {
                    Ok(found) => found.into_iter().map(|found| Ok(context(found))).collect(),
                    Err(status) => vec![Err(status)],
                };
                futures_util::stream::iter(found)
            };
            let stream: ContextStream = Box::pin(futures_util::stream::once(found).flatten());
            let mut response = tonic::Response::new(stream);
            $crate::services::note_lease(response.metadata_mut(), lease);
            response
        }
    };
}

pub(in crate::services) use messages;
