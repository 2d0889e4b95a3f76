//! Workers that the server has seen.

use serde_json::{Value, json};
use tink_proto::admin::{ListWorkersRequest, Worker, WorkerRequest};

use crate::args::Format;
use crate::client::{Client, refused};
use crate::exit::{DONE, Failure};
use crate::output::{self, Table, time};

/// `tink worker list`.
pub async fn list(mut client: Client, format: Format) -> Result<u8, Failure> {
    let found = client.workers.list(ListWorkersRequest {}).await.map_err(refused("list workers"))?;
    let workers = found.into_inner().workers;
    let values: Vec<Value> = workers.iter().map(value).collect();
    output::print(format, &values, false, || table(&workers))?;
    Ok(DONE)
}

/// `tink worker get`.
pub async fn get(mut client: Client, id: String, format: Format) -> Result<u8, Failure> {
    let doing = format!("get worker {id}");
    let worker = client.workers.get(WorkerRequest { id }).await.map_err(refused(doing))?.into_inner();
    output::print(format, &[value(&worker)], true, || table(std::slice::from_ref(&worker)))?;
    Ok(DONE)
}

fn value(worker: &Worker) -> Value {
    json!({
        "id": worker.id,
        "connected": worker.connected,
        "address": worker.address,
        "firstSeen": time(worker.first_seen.as_ref()),
        "lastSeen": time(worker.last_seen.as_ref()),
        "workflow": worker.workflow_id,
        "action": worker.action_name,
        "instances": worker.instances.iter().map(|instance| json!({
            "id": instance.id,
            "address": instance.address,
            "lastSeen": time(instance.last_seen.as_ref()),
        })).collect::<Vec<_>>(),
        "attributes": serde_json::from_str::<Value>(&worker.attributes_json).unwrap_or(Value::Null),
    })
}

fn table(workers: &[Worker]) -> Table {
    let mut table = Table::new(&["ID", "CONNECTED", "LAST SEEN", "ADDRESS", "WORKFLOW", "ACTION", "PROCESSES"]);
    let now = jiff::Timestamp::now();
    for worker in workers {
        table.row([
            worker.id.clone(),
            if worker.connected { "yes" } else { "no" }.to_owned(),
            format!("{} ago", output::ago(worker.last_seen.as_ref(), now)),
            worker.address.clone(),
            worker.workflow_id.clone(),
            worker.action_name.clone(),
            processes(worker),
        ]);
    }
    table
}

/// How many processes call themselves this worker; where they are, if more than one does.
fn processes(worker: &Worker) -> String {
    let addresses: Vec<_> = worker.instances.iter().map(|instance| instance.address.as_str()).collect();
    match addresses.as_slice() {
        [] => String::new(),
        [_] => "1".to_owned(),
        several => format!("{} (only one may be: {})", several.len(), several.join(", ")),
    }
}
