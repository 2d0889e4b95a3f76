//! An import that a person waits for.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use tink_runtime::{Progress, PullProgress};

use super::live::{TICK, TICKS};
use super::pull::{Pace, in_flight, summary};

/// Shows on stderr how far `work` is, which tells `progress`, until it is done; stdout is for results. Drawn over on a
/// terminal unless `plain`, else a line now and then.
pub async fn show_import<T>(path: &Path, plain: bool, progress: &Progress, work: impl Future<Output = T>) -> T {
    // The last part tells files apart, and leaves room on the line.
    let title = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let mut news = progress.watch();
    let mut view = View::new(&title, plain);
    let mut work = std::pin::pin!(work);
    let outcome = loop {
        tokio::select! {
            biased;
            outcome = &mut work => break outcome,
            Ok(()) = news.changed() => view.show(&news.borrow_and_update()),
        }
    };
    view.end();
    outcome
}

struct View {
    title: String,
    bar: Option<ProgressBar>,
    pace: Pace,
}

impl View {
    fn new(title: &str, plain: bool) -> Self {
        let live = !plain && std::io::stderr().is_terminal();
        let bar = live.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
                bar.set_style(style.tick_chars(TICKS));
            }
            bar.set_message(format!("importing {title}"));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { title: title.to_owned(), bar, pace: Pace::default() }
    }

    fn show(&mut self, progress: &PullProgress) {
        let text = format!("importing {}  {}", self.title, summary(progress));
        match &self.bar {
            Some(bar) => bar.set_message(format!("{text}  {}", in_flight(progress))),
            None if self.pace.is_due(&self.title, Instant::now()) => eprintln!("{text}"),
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
