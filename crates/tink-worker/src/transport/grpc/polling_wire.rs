//! One generation's messages as the polling transport's own, and back. Both generations have the same ones.

/// Implements the conversions for the messages of `$wire`.
macro_rules! polling_messages {
    ($wire:path) => {
        use $wire as wire;

        fn state_of(state: i32) -> tink_workflow::ActionState {
            use tink_workflow::ActionState;
            match wire::State::try_from(state) {
                Ok(wire::State::Running) => ActionState::Running,
                Ok(wire::State::Failed) => ActionState::Failed,
                Ok(wire::State::Timeout) => ActionState::Timeout,
                Ok(wire::State::Success) => ActionState::Success,
                // A state of the future: nothing can be done in it, so nothing is.
                Err(_) => ActionState::Failed,
                Ok(wire::State::Pending) => ActionState::Pending,
            }
        }

        fn wire_state(state: tink_workflow::ActionState) -> i32 {
            use tink_workflow::ActionState;
            let state = match state {
                ActionState::Pending => wire::State::Pending,
                ActionState::Running => wire::State::Running,
                ActionState::Failed => wire::State::Failed,
                ActionState::Timeout => wire::State::Timeout,
                ActionState::Success => wire::State::Success,
            };
            state.into()
        }

        fn context_of(context: wire::WorkflowContext) -> $crate::transport::grpc::polling::WireContext {
            $crate::transport::grpc::polling::WireContext {
                workflow: context.workflow_id,
                task: context.current_task,
                action: context.current_action,
                index: context.current_action_index,
                state: state_of(context.current_action_state),
                total: context.total_number_of_actions,
            }
        }

        fn action_of(action: wire::WorkflowAction) -> $crate::transport::grpc::polling::WireAction {
            $crate::transport::grpc::polling::WireAction {
                task: action.task_name,
                name: action.name,
                image: action.image,
                timeout_s: action.timeout,
                command: action.command,
                on_timeout: action.on_timeout,
                on_failure: action.on_failure,
                worker: action.worker_id,
                volumes: action.volumes,
                environment: action.environment,
                pid: action.pid,
            }
        }

        fn wire_status(status: $crate::transport::grpc::polling::WireStatus) -> wire::WorkflowActionStatus {
            wire::WorkflowActionStatus {
                workflow_id: status.workflow,
                task_name: status.task,
                action_name: status.action,
                action_status: wire_state(status.state),
                seconds: status.seconds,
                message: status.message,
                // The server's clock says when: a machine that boots may live in 1970.
                created_at: None,
                worker_id: status.worker,
            }
        }

        /// Reads a stream of contexts to its end.
        async fn drain(
            mut stream: tonic::Streaming<wire::WorkflowContext>,
        ) -> Result<Vec<$crate::transport::grpc::polling::WireContext>, tonic::Status> {
            let mut contexts = Vec::new();
            while let Some(context) = stream.message().await? {
                // A server with more workflows for one worker than that gives the next ones when these ended.
                if contexts.len() < $crate::transport::grpc::polling::CONTEXTS_MAX {
                    contexts.push(context_of(context));
                }
            }
            Ok(contexts)
        }
    };
}

pub(super) use polling_messages;
