//! What `up` and `run` need to run containers on this machine.

mod engine;
mod halt;
mod images;
mod interrupt;
mod own_image;
mod state_dir;
mod watching;

pub use engine::select;
pub use halt::halt;
pub use images::{preload as preload_images, settle as settle_images};
pub use interrupt::Interrupt;
pub use own_image::provide as provide_own_image;
pub use state_dir::StateDir;
pub use watching::{OUTPUT_LINES_MAX, show};
