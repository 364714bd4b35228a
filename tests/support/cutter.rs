//! A network that is cut.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Passes connections on to a port of this machine, and cuts them when it is told to.
pub(crate) struct Cutter {
    pub(crate) port: u16,
    under_way: Arc<Mutex<JoinSet<()>>>,
    opened: Arc<AtomicUsize>,
}

impl Cutter {
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (under_way, opened) = (Arc::<Mutex<JoinSet<()>>>::default(), Arc::<AtomicUsize>::default());
        let (all, counter) = (under_way.clone(), opened.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let passing = async move {
                    let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                };
                all.lock().unwrap().spawn(passing);
            }
        });
        Self { port, under_way, opened }
    }

    /// Cuts all connections, with what is on its way.
    pub(crate) fn cut(&self) {
        self.under_way.lock().unwrap().abort_all();
    }

    /// How many connections there have been.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}
