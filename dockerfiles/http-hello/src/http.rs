//! wasi:http made plain: a request to read, a responder to answer it once.
//!
//! No `expect` on its errors: printing those types would be a quarter of the guest. Where an answer cannot
//! go on, it is dropped unfinished, which the client sees as broken off.

use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// The most that wasi:io takes in one `blocking-write-and-flush`.
const CHUNK: usize = 4096;

pub struct Request(pub IncomingRequest);

impl Request {
    /// `GET`, `POST`, or empty for the methods this service does not know.
    pub fn method(&self) -> &'static str {
        match self.0.method() {
            Method::Get => "GET",
            Method::Post => "POST",
            _ => "",
        }
    }

    /// The path and what follows its `?`, which may be empty.
    pub fn path_and_query(&self) -> (String, String) {
        let whole = self.0.path_with_query().unwrap_or_default();
        match whole.split_once('?') {
            Some((path, query)) => (path.to_owned(), query.to_owned()),
            None => (whole, String::new()),
        }
    }

    /// The request's bytes as they arrive; None where they were taken before.
    pub fn body(&self) -> Option<Body> {
        let body = self.0.consume().ok()?;
        let stream = body.stream().ok()?;
        Some(Body {
            stream,
            _body: body,
        })
    }
}

/// Fields drop in order: wasi:http wants the stream gone before its body.
pub struct Body {
    stream: InputStream,
    _body: IncomingBody,
}

pub struct Responder(pub ResponseOutparam);

impl Responder {
    /// Answers with `text`. None where the client has gone away.
    pub fn text(self, status: u16, text: &str) -> Option<()> {
        let (body, stream) = self.start(status, "text/plain; charset=utf-8")?;
        write(&stream, text.as_bytes())?;
        finish(body, stream)
    }

    /// Answers with `source` piece by piece, holding one piece at a time. None where either end broke off.
    pub fn stream(self, status: u16, source: Body) -> Option<()> {
        let (body, stream) = self.start(status, "application/octet-stream")?;
        loop {
            match source.stream.blocking_read(CHUNK as u64) {
                Ok(piece) => write(&stream, &piece)?,
                Err(StreamError::Closed) => return finish(body, stream),
                Err(StreamError::LastOperationFailed(_)) => return None,
            }
        }
    }

    fn start(self, status: u16, content_type: &str) -> Option<(OutgoingBody, OutputStream)> {
        let headers = Fields::new();
        headers
            .append("content-type", content_type.as_bytes())
            .ok()?;
        let response = OutgoingResponse::new(headers);
        response.set_status_code(status).ok()?;
        let body = response.body().ok()?;
        let stream = body.write().ok()?;
        ResponseOutparam::set(self.0, Ok(response));
        Some((body, stream))
    }
}

fn write(stream: &OutputStream, bytes: &[u8]) -> Option<()> {
    bytes
        .chunks(CHUNK)
        .try_for_each(|piece| stream.blocking_write_and_flush(piece).ok())
}

fn finish(body: OutgoingBody, stream: OutputStream) -> Option<()> {
    drop(stream);
    OutgoingBody::finish(body, None).ok()
}
