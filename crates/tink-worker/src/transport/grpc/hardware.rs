//! The machine's hardware, collected beside everything else, and in the messages of today's wire.

use std::sync::Arc;
use std::time::Duration;

use tink_attributes::{Attributes, Machine, Pci};
use tink_proto::v2025 as wire;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

/// The first request for work waits so long: upstream's server stores attributes only with a workflow's first action. What
/// comes later goes with a later request.
const PATIENCE: Duration = Duration::from_secs(3);

/// The machine's hardware, as soon as it is known.
#[derive(Clone, Debug)]
pub struct Hardware(watch::Receiver<Option<Arc<wire::AgentAttributes>>>);

impl Hardware {
    /// Begins to collect, on a thread of its own: a device that does not answer must hold up nothing.
    ///
    /// To be called within the async runtime.
    #[must_use]
    pub fn collect() -> Self {
        let (sender, receiver) = watch::channel(None);
        tokio::task::spawn_blocking(move || {
            let attributes = tink_attributes::collect(&Machine::this());
            debug!(?attributes, "hardware collected");
            sender.send_replace(Some(Arc::new(message(attributes))));
        });
        Self(receiver)
    }

    /// What to send; nothing where it takes too long.
    pub(super) async fn message(&self) -> Option<wire::AgentAttributes> {
        let mut known = self.0.clone();
        let message = timeout(PATIENCE, known.wait_for(Option::is_some)).await.ok()?.ok()?;
        message.as_ref().map(|message| message.as_ref().clone())
    }
}

#[cfg(test)]
impl Hardware {
    pub(super) fn known(attributes: Attributes) -> Self {
        Self(watch::channel(Some(Arc::new(message(attributes)))).1)
    }
}

/// Every scalar is sent, also an empty one, as the Go agent does.
fn message(all: Attributes) -> wire::AgentAttributes {
    let processors = all.cpu.processors.into_iter().map(|processor| wire::Processor {
        id: Some(processor.id),
        cores: Some(processor.cores),
        threads: Some(processor.threads),
        vendor: Some(processor.vendor),
        model: Some(processor.model),
        capabilities: processor.capabilities,
    });
    let block = all.block.into_iter().map(|disk| wire::Block {
        name: Some(disk.name),
        controller_type: Some(disk.controller_type),
        drive_type: Some(disk.drive_type),
        size: Some(disk.size),
        physical_block_size: Some(disk.physical_block_size),
        vendor: Some(disk.vendor),
        model: Some(disk.model),
        wwn: Some(disk.wwn),
        serial_number: Some(disk.serial_number),
    });
    let network = all.network.into_iter().map(|interface| wire::Network {
        name: Some(interface.name),
        mac: Some(interface.mac),
        speed: Some(interface.speed),
        enabled_capabilities: interface.enabled_capabilities,
    });
    let pci = |Pci { vendor, product, class, driver }| wire::Pci {
        vendor: Some(vendor),
        product: Some(product),
        class: Some(class),
        driver,
    };
    let gpu = |Pci { vendor, product, class, driver }| wire::Gpu {
        vendor: Some(vendor),
        product: Some(product),
        class: Some(class),
        driver,
    };
    wire::AgentAttributes {
        cpu: Some(wire::Cpu {
            total_cores: Some(all.cpu.total_cores),
            total_threads: Some(all.cpu.total_threads),
            processors: processors.collect(),
        }),
        memory: Some(wire::Memory { total: Some(all.memory.total), usable: Some(all.memory.usable) }),
        block: block.collect(),
        network: network.collect(),
        pci: all.pci.into_iter().map(pci).collect(),
        gpu: all.gpu.into_iter().map(gpu).collect(),
        chassis: Some(wire::Chassis { serial: Some(all.chassis.serial), vendor: Some(all.chassis.vendor) }),
        bios: Some(wire::Bios {
            vendor: Some(all.bios.vendor),
            version: Some(all.bios.version),
            release_date: Some(all.bios.release_date),
        }),
        baseboard: Some(wire::Baseboard {
            vendor: Some(all.baseboard.vendor),
            product: Some(all.baseboard.product),
            version: Some(all.baseboard.version),
            serial_number: Some(all.baseboard.serial_number),
        }),
        product: Some(wire::Product {
            name: Some(all.product.name),
            vendor: Some(all.product.vendor),
            serial_number: Some(all.product.serial_number),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tink_attributes::{Block, Memory};

    #[tokio::test]
    async fn an_empty_scalar_is_sent_and_a_driver_that_is_not_there_is_not() {
        let all = Attributes {
            memory: Memory { total: "4GB".to_owned(), usable: String::new() },
            block: vec![Block { name: "sda".to_owned(), ..Block::default() }],
            pci: vec![Pci::default()],
            ..Attributes::default()
        };
        let sent = Hardware::known(all).message().await.unwrap();
        let memory = sent.memory.unwrap();
        assert_eq!((memory.total.as_deref(), memory.usable.as_deref()), (Some("4GB"), Some("")));
        assert_eq!((sent.block[0].name.as_deref(), sent.block[0].wwn.as_deref()), (Some("sda"), Some("")));
        assert_eq!((sent.pci[0].vendor.as_deref(), sent.pci[0].driver.as_deref()), (Some(""), None));
        assert_eq!(sent.cpu.unwrap().total_cores, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn hardware_that_does_not_answer_holds_nothing_up_for_long() {
        let (sender, receiver) = watch::channel(None);
        assert_eq!(Hardware(receiver).message().await, None);
        drop(sender);
    }
}
