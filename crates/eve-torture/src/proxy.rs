//! A small TCP proxy whose connections can be made to misbehave: the network between worker, server and database.
//!
//! It listens at an address that stays, in front of a target that may move when its process is started again. What is
//! held back in bad weather is passed on when it clears up, so that whoever gave up long ago is answered late.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Bytes passed on at once.
const CHUNK: usize = 64 * 1024;

/// How the network behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Everything gets through.
    Clear,
    /// Nothing gets through, and nobody is told.
    Blackhole,
    /// What is asked gets through, answers do not.
    AnswersLost,
    /// New connections are reset. Those that are there go on until they are [cut](Proxy::cut).
    Refusing,
    /// Every piece takes so long.
    Slow(Duration),
}

/// Where a target is now; shared by all proxies in front of it.
pub(crate) type Target = Arc<Mutex<Option<SocketAddr>>>;

/// The address of a target, if it has one.
pub(crate) fn address_of(target: &Target) -> Option<SocketAddr> {
    *target.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says where a target is from now on.
pub(crate) fn move_target(target: &Target, to: SocketAddr) {
    *target.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
}

/// A listening proxy. Dropping it cuts everything.
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    cuts: watch::Sender<u64>,
    accepts: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

impl Proxy {
    /// Listens on a free port of the loopback.
    pub(crate) async fn start(target: Target) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (weather, cuts) = (watch::Sender::new(Weather::Clear), watch::Sender::new(0));
        let (seen, told) = (weather.subscribe(), cuts.subscribe());
        let accepts = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target.clone(), seen.clone(), told.clone()));
            }
        });
        Ok(Self { address, weather, cuts, accepts })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes the weather, for connections that are there as well.
    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Resets every connection that is there.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn carry(
    mut client: TcpStream,
    target: Target,
    mut weather: watch::Receiver<Weather>,
    mut cuts: watch::Receiver<u64>,
) {
    cuts.mark_unchanged();
    // Whoever connects into a hole is heard of when it opens.
    let reached = tokio::select! {
        reached = reach(&target, &mut weather) => reached,
        _ = cuts.changed() => None,
    };
    let Some(mut server) = reached else {
        reset(&client);
        return;
    };
    // Small messages both ways: waiting for more would be a weather of its own.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            _ = async {
                tokio::join!(
                    pump(from_client, to_server, weather.clone(), false),
                    pump(from_server, to_client, weather.clone(), true),
                )
            } => false,
            _ = cuts.changed() => true,
        }
    };
    if cut {
        reset(&client);
        reset(&server);
    }
}

async fn reach(target: &Target, weather: &mut watch::Receiver<Weather>) -> Option<TcpStream> {
    let now = *weather.wait_for(|weather| *weather != Weather::Blackhole).await.ok()?;
    if now == Weather::Refusing {
        return None;
    }
    TcpStream::connect(address_of(target)?).await.ok()
}

/// The next close is no farewell but a reset.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    is_answer: bool,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let passes = |weather: &Weather| match weather {
            Weather::Blackhole => false,
            Weather::AnswersLost => !is_answer,
            Weather::Clear | Weather::Refusing | Weather::Slow(_) => true,
        };
        let Ok(now) = weather.wait_for(passes).await.map(|now| *now) else { return };
        if let Weather::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        // An end is passed on like everything else.
        if count == 0 {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(buffer.get(..count).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
