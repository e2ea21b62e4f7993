//! Components of wasi:http served on a socket: one fresh instance per request, within its limits.

use crate::console::Marked;
use crate::ending::Ending;
use crate::engine;
use crate::marks;
use crate::state::{self, Budget, ComponentState};
use crate::threads;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use wasmdock_shim::launch::Launch;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, InstanceAllocationStrategy, Result, Store};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

const TICK: Duration = Duration::from_millis(10);
/// The time limit of one request where the container has none.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// How long a client may take to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);

type Answer = Response<HyperOutgoingBody>;

/// Whether a component is served: it exports an incoming handler of wasi:http.
pub fn is_served(engine: &Engine, component: &Component) -> bool {
    let kind = component.component_type();
    kind.exports(engine)
        .any(|(name, _)| name.starts_with("wasi:http/incoming-handler@0.2"))
}

/// Serves until a signal, then lets the requests in flight finish.
pub fn run(launch: &Launch) -> Ending {
    let result = threads::runtime()
        .map_err(|error| format!("starting the server's threads: {error}"))
        .and_then(|threads| threads.block_on(serve(launch)));
    match result {
        Ok(ending) => ending,
        Err(reason) => Ending::broken(reason),
    }
}

/// What every request needs.
struct Server {
    launch: Launch,
    guest: ProxyPre<ComponentState>,
    environment: Vec<(String, String)>,
    turns: Semaphore,
    count: AtomicU64,
    time: Duration,
    running: Arc<AtomicUsize>,
}

async fn serve(launch: &Launch) -> Result<Ending, String> {
    let mut stop = Stop::new()?;
    let guest = match prepare(launch) {
        Ok(guest) => guest,
        Err(error) => return Ok(Ending::refused(format!("linking the guest: {error:#}"))),
    };
    let address = launch.settings.address;
    let listener = listen(address, launch.settings.backlog)
        .map_err(|error| format!("listening on {address}: {error}"))?;
    let running = Arc::new(AtomicUsize::new(0));
    start_ticking(guest.engine().clone(), running.clone());
    let server = Arc::new(Server {
        launch: launch.clone(),
        guest,
        environment: state::environment(),
        turns: Semaphore::new(launch.settings.concurrency as usize),
        count: AtomicU64::new(0),
        time: launch
            .settings
            .timeout
            .map_or(REQUEST_TIME, Duration::from_millis),
        running,
    });
    eprintln!("wasmdock: serving on http://{address}/");
    marks::step("listen");
    marks::say();
    let (draining, _) = watch::channel(false);
    let signal = accept(&listener, &server, &draining, &mut stop).await;
    drop(listener);
    Ok(drain(launch, &draining, &mut stop, signal).await)
}

/// An engine with a pool where the address space allows one, and the guest linked into it.
fn prepare(launch: &Launch) -> Result<ProxyPre<ComponentState>> {
    let mut config = engine::hosting(launch.tuning, launch.settings.stack);
    let memory = launch.settings.memory.unwrap_or(u64::MAX) as usize;
    let pool = engine::pool(launch.settings.concurrency, memory);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)
        .or_else(|_| Engine::new(&engine::hosting(launch.tuning, launch.settings.stack)))?;
    // SAFETY: the OCI runtime wrote this file outside the container and mounted it read-only.
    let component = unsafe { Component::deserialize_file(&engine, &launch.code) }?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    ProxyPre::new(linker.instantiate_pre(&component)?)
}

fn listen(address: SocketAddr, backlog: u32) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// Moves the engine's clock while requests run, so that a guest in a loop gives way to the time limit.
fn start_ticking(engine: Engine, running: Arc<AtomicUsize>) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(if running.load(Ordering::Relaxed) == 0 {
                TICK * 5
            } else {
                TICK
            });
            engine.increment_epoch();
        }
    });
}

/// The signals that end the server.
struct Stop {
    term: Signal,
    int: Signal,
    quit: Signal,
}

impl Stop {
    fn new() -> Result<Stop, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("listening to signals: {error}"));
        Ok(Stop {
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
        })
    }

    /// The number of the next signal.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.term.recv() => libc::SIGTERM as u8,
            _ = self.int.recv() => libc::SIGINT as u8,
            _ = self.quit.recv() => libc::SIGQUIT as u8,
        }
    }
}

async fn accept(
    listener: &TcpListener,
    server: &Arc<Server>,
    draining: &watch::Sender<bool>,
    stop: &mut Stop,
) -> u8 {
    loop {
        tokio::select! {
            signal = stop.next() => return signal,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(converse(server.clone(), stream, draining.subscribe()));
                }
                // Out of descriptors, mostly: give the connections in flight time to end.
                Err(_) => tokio::time::sleep(TICK).await,
            },
        }
    }
}

/// Waits for the connections in flight, for as long as the container allows.
async fn drain(
    launch: &Launch,
    draining: &watch::Sender<bool>,
    stop: &mut Stop,
    signal: u8,
) -> Ending {
    let _ = draining.send(true);
    let limit = Duration::from_millis(launch.settings.drain);
    tokio::select! {
        () = draining.closed() => Ending::exited(0),
        again = stop.next() => Ending::exited(128 + again),
        () = tokio::time::sleep(limit) => Ending {
            code: 128 + signal,
            message: Some(format!("requests still in flight after {limit:?} of draining were cut off (WASMDOCK_HTTP_DRAIN)")),
        },
    }
}

/// Answers the requests of one connection, until it ends or the server drains.
async fn converse(server: Arc<Server>, stream: TcpStream, mut draining: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let server = server.clone();
        async move { Ok::<_, ErrorCode>(answer(server, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(Timer)
        .header_read_timeout(HEAD_TIME)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = draining.wait_for(|draining| *draining) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// One request: a fresh instance, its answer, and in the log what went wrong.
async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Answer {
    let Ok(_turn) = server.turns.acquire().await else {
        return plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server is shutting down",
        );
    };
    let id = server.count.fetch_add(1, Ordering::Relaxed);
    let (sender, receiver) = oneshot::channel();
    let task = tokio::spawn(handle(server.clone(), request, sender, id));
    match receiver.await {
        Ok(Ok(response)) => response,
        Ok(Err(code)) => {
            eprintln!("wasmdock: [{id}] the guest answered with an error: {code:?}");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the guest answered with an error",
            )
        }
        Err(_) => unanswered(task, id).await,
    }
}

/// What to answer where the guest ended without an answer.
async fn unanswered(task: JoinHandle<Fate>, id: u64) -> Answer {
    match task.await {
        Ok(Fate::TimedOut) => plain(
            StatusCode::GATEWAY_TIMEOUT,
            "the guest used up its time limit",
        ),
        Ok(Fate::Failed) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the guest failed"),
        Ok(Fate::Done) | Err(_) => {
            eprintln!("wasmdock: [{id}] the guest ended without an answer");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the guest ended without an answer",
            )
        }
    }
}

enum Fate {
    Done,
    Failed,
    TimedOut,
}

type Reply = oneshot::Sender<Result<Answer, ErrorCode>>;

/// Counts a request as running for as long as it lives.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Running {
        count.fetch_add(1, Ordering::Relaxed);
        Running(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn handle(server: Arc<Server>, request: Request<Incoming>, reply: Reply, id: u64) -> Fate {
    let _running = Running::new(&server.running);
    let mark = format!("[{id}] ");
    let (out, err) = (Marked::new(1, &mark), Marked::new(2, &mark));
    let mut builder = state::builder(&server.environment);
    builder
        .env("REQUEST_ID", id.to_string())
        .stdout(out.clone())
        .stderr(err.clone());
    let mut fate = Fate::Failed;
    match state::grant(&mut builder, &server.launch.folders) {
        Ok(()) => {
            let state = ComponentState::new(builder.build(), Budget::new(&server.launch));
            let mut store = Store::new(server.guest.engine(), state);
            store.limiter(|state| &mut state.budget);
            store.set_epoch_deadline(1);
            store.epoch_deadline_async_yield_and_update(1);
            let call = call(&server, &mut store, request, reply);
            match tokio::time::timeout(server.time, call).await {
                Ok(Ok(())) => fate = Fate::Done,
                Ok(Err(error)) => {
                    let ending = Ending::of(&error, &store.data().budget, "answering a request");
                    if let Some(message) = ending.message {
                        eprintln!("wasmdock: [{id}] {}", message.trim_end());
                    }
                }
                Err(_) => {
                    eprintln!(
                        "wasmdock: [{id}] the time limit of the request is over (WASMDOCK_TIMEOUT)"
                    );
                    fate = Fate::TimedOut;
                }
            }
        }
        Err(reason) => eprintln!("wasmdock: [{id}] {reason}"),
    }
    out.finish();
    err.finish();
    fate
}

async fn call(
    server: &Server,
    store: &mut Store<ComponentState>,
    request: Request<Incoming>,
    reply: Reply,
) -> Result<()> {
    use wasmtime_wasi_http::WasiHttpView;
    state::refuel(store, &server.launch)?;
    let request = store
        .data_mut()
        .http()
        .new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(reply)?;
    let guest = server.guest.instantiate_async(&mut *store).await?;
    guest
        .wasi_http_incoming_handler()
        .call_handle(store, request, out)
        .await
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let body = Full::new(bytes::Bytes::from_static(text.as_bytes()));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// hyper's clock on tokio's.
#[derive(Clone, Copy)]
struct Timer;

struct Sleep(std::pin::Pin<Box<tokio::time::Sleep>>);

impl Future for Sleep {
    type Output = ();
    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl hyper::rt::Sleep for Sleep {}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> std::pin::Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(Box::pin(tokio::time::sleep(duration))))
    }
    fn sleep_until(
        &self,
        deadline: std::time::Instant,
    ) -> std::pin::Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(Box::pin(tokio::time::sleep_until(deadline.into()))))
    }
}
