//! Captures what is logged.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use tracing_subscriber::fmt::MakeWriter;

/// Everything that is logged, to be searched.
#[derive(Clone, Default)]
pub(crate) struct Capture(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Capture {
    /// Everything that the process logs from the first call on, whichever test and thread it comes from: what others log
    /// first decides otherwise whether it is heard at all.
    pub(crate) fn of_the_process() -> Self {
        static ALL: OnceLock<Capture> = OnceLock::new();
        let start = || {
            let all = Self::default();
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_writer(all.clone())
                .with_ansi(false);
            tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
            all
        };
        ALL.get_or_init(start).clone()
    }
}

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Capture {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
