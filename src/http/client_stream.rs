//! What a client sends, of which actix-http gets about one request at a time.
//!
//! actix-http reads 128 KiB ahead and decodes all requests in them at once, each of which takes fifty times its bytes. So 16
//! clients that sent requests and read no answer made a process of 37 MB one of 340 MB. Here the next request waits until the
//! one before it has been answered (docs/decisions/0018-one-request-at-a-time.md).

use std::{
    io, mem,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix_web::{rt::net::TcpStream, web::BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ClientConnection, connection::Places};

pub(super) struct ClientStream {
    stream: TcpStream,
    pub(super) connection: Rc<ClientConnection>,
    /// Has been read, and belongs to a later request or to a body.
    held: BytesMut,
    /// actix-http has a head, and must decode it before it gets more.
    pauses: bool,
}

impl ClientStream {
    /// Fails if the client is gone, or the limit of open files is reached.
    pub(super) fn new(stream: TcpStream, places: &Arc<Places>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let connection = ClientConnection::watch(&stream, places)?;
        Ok(Self { stream, connection, held: BytesMut::new(), pauses: false })
    }

    /// While a request is worked on or answered: reads no byte, but tells if the client is gone.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() && ready!(self.stream.poll_peek(cx, &mut ReadBuf::new(&mut [0])))? == 0 {
            return Poll::Ready(Ok(()));
        }
        self.connection.wake_when_answered(cx.waker());
        Poll::Pending
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.connection.is_busy() {
            return this.poll_gone(cx);
        }
        if mem::take(&mut this.pauses) && this.connection.heads() > 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if this.held.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            let end = before + share(&buffer.filled()[before..]);
            this.held.extend_from_slice(&buffer.filled()[end..]);
            buffer.set_filled(end);
        } else {
            let share = share(&this.held).min(buffer.remaining());
            buffer.put_slice(&this.held.split_to(share));
            if this.held.is_empty() {
                // Its memory is given back and wiped, because it may hold a password.
                this.held = BytesMut::new();
            }
        }
        if after_empty_line(&buffer.filled()[before..]).is_some() {
            this.connection.has_head();
        }
        // A body may follow one head.
        this.pauses = !this.held.is_empty() || this.connection.heads() > 1;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// How many of these bytes are given at once: all, unless a second head may end in them.
fn share(bytes: &[u8]) -> usize {
    let first = after_empty_line(bytes).filter(|end| after_empty_line(&bytes[*end..]).is_some());
    first.unwrap_or(bytes.len())
}

/// Where the first empty line and those that follow it end. A head ends with one, and may have them before it. As for
/// actix-http, a line may end without a carriage return.
fn after_empty_line(bytes: &[u8]) -> Option<usize> {
    let (mut end, mut is_found) = (0, false);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line {
            b"\n" | b"\r\n" => is_found = true,
            _ if is_found => break,
            _ => {}
        }
        end += line.len();
    }
    is_found.then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_up_to_the_end_of_a_head_if_another_may_end_in_them() {
        for (given, held) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""),
            ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", ""),
            ("GET / HTTP/1.1\r\nHos", ""),
            ("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
            ("GET / HTTP/1.1\n\n", "GET / HTTP/1.1\n\nGET /"),
            ("GET / HTTP/1.1\n\r\n", "GET / HTTP/1.1\r\n\n"),
            ("\r\n\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
            ("x\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
            ("\n\n\n", ""),
            ("", ""),
        ] {
            assert_eq!(share(format!("{given}{held}").as_bytes()), given.len(), "{given:?} {held:?}");
        }
    }
}
