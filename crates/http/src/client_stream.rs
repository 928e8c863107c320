//! A client's TCP stream, which gives actix-http one request at a time.
//!
//! actix-http reads 128 KiB ahead and decodes all requests in them at once. A decoded request takes
//! fifty times its bytes. So 16 clients that sent requests and read no answer made a process grow
//! from 37 MB to 340 MB. This stream holds the next request back until the system has taken the
//! whole answer to the request before it (docs/decisions/0018-one-request-at-a-time.md).

use std::task::{Context, Poll, ready};
use std::{io, mem, pin::Pin, sync::Arc};

use actix_web::{rt::net::TcpStream, web::BytesMut};
use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use zeroize::Zeroize;

use super::connection::{ClientConnection, Connections};

/// How many bytes are read at once. What a client sends beyond that stays in the system's buffer, which is bounded.
const READ_AHEAD: usize = 4 * 1024;
/// The answer to a head that is too long, before the connection is closed.
const TOO_LONG: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

pub(super) struct ClientStream {
    stream: TcpStream,
    pub(super) connection: Arc<ClientConnection>,
    /// Bytes that have been read, but not given to actix-http yet: a later request, or a body.
    held: BytesMut,
    /// Whether to pause: actix-http has got bytes, and must decode them before it gets more.
    pauses: bool,
    head: UnfinishedHead,
}

/// The part of a head that actix-http has got, with the empty lines before it.
#[derive(Clone, Copy, Default)]
struct UnfinishedHead {
    bytes: usize,
    /// Whether a line that is not empty has begun.
    has_line: bool,
    /// Whether the last line has begun, is not empty and has not ended.
    is_in_line: bool,
}

impl ClientStream {
    /// Fails if the client has disconnected, or if the limit of open files is reached.
    pub(super) fn new(stream: TcpStream, connections: &Arc<Connections>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let connection = connections.accept(&stream)?;
        Ok(Self {
            stream,
            connection,
            held: BytesMut::new(),
            pauses: false,
            head: UnfinishedHead::default(),
        })
    }

    /// Waits while a request is handled or answered: reads no byte, but resolves if the client has
    /// disconnected.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty()
            && ready!(self.stream.poll_peek(cx, &mut ReadBuf::new(&mut [0])))? == 0
        {
            return Poll::Ready(Ok(()));
        }
        self.connection.wake_when_answered(cx.waker());
        Poll::Pending
    }

    fn poll_share(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            let mut memory = [0; READ_AHEAD];
            let mut ahead = ReadBuf::new(&mut memory);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut ahead))?;
            let (now, later) = ahead
                .filled()
                .split_at(self.head.share(ahead.filled()).min(buffer.remaining()));
            buffer.put_slice(now);
            self.held.extend_from_slice(later);
            // The memory may hold a password.
            ahead.filled_mut().zeroize();
        } else {
            let share = self.head.share(&self.held).min(buffer.remaining());
            buffer.put_slice(&self.held.split_to(share));
            if self.held.is_empty() {
                // Frees the memory, which wipes it: it may hold a password.
                self.held = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Notes a share of bytes before actix-http gets it. `false` if the head is too long; the
    /// client has been sent 431 then.
    fn may_go_on(&mut self, share: &[u8]) -> bool {
        if self.connection.waits_for_head() {
            for line in lines(share) {
                self.head.ends_with(line);
            }
        } else {
            self.head = UnfinishedHead::default();
        }
        if self.head.has_line {
            self.connection.begins_head();
        }
        if self.head.bytes > self.connection.connections.limits.head {
            // The client need not get this answer.
            let _ = self.stream.try_write(TOO_LONG);
            return false;
        }
        true
    }
}

impl UnfinishedHead {
    /// Adds a line, or a part of a line. Returns whether the head ends here, which an empty line
    /// after other lines does. As in actix-http, a line may end without a carriage return.
    fn ends_with(&mut self, line: &[u8]) -> bool {
        let is_over = line.ends_with(b"\n");
        let is_empty = !self.is_in_line && [b"\r\n", &b"\n"[..], b"\r"].contains(&line);
        if is_over && is_empty && self.has_line {
            *self = Self::default();
            return true;
        }
        let bytes = self.bytes + line.len();
        *self = Self {
            bytes,
            has_line: self.has_line || !is_empty,
            is_in_line: !is_over && !is_empty,
        };
        false
    }

    /// How many of these bytes actix-http may get at once: all, unless a second head may end in
    /// them.
    fn share(mut self, bytes: &[u8]) -> usize {
        let mut end = 0;
        let mut first = None;
        for line in lines(bytes) {
            end += line.len();
            let before = if self.ends_with(line) {
                first.replace(end)
            } else {
                None
            };
            if let Some(first) = before {
                return first;
            }
        }
        end
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.connection.connections.leave(&self.connection);
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.connection.phase().is_busy() {
            this.pauses = false;
            return this.poll_gone(cx);
        }
        if mem::take(&mut this.pauses) {
            if !this.held.is_empty() || this.stream.poll_read_ready(cx)?.is_ready() {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(this.poll_share(cx, buffer))?;
        this.pauses = true;
        if !this.may_go_on(&buffer.filled()[before..]) {
            // As if the client had closed the connection.
            buffer.set_filled(before);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    /// Sends each write as a packet of its own (`MSG_EOR`). Otherwise the system would merge writes
    /// into packets of up to 64 KiB, even if the connection's send buffer is smaller.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        const FLAGS: SendFlags = SendFlags::EOR.union(SendFlags::NOSIGNAL);
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self
                .stream
                .try_io(Interest::WRITABLE, || Ok(send(&self.stream, bytes, FLAGS)?))
            {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// actix-http flushes when the system has taken all bytes of the connection's buffer.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.has_flushed();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
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
            (
                "\r\n\n\r\nGET / HTTP/1.1\r\n\r\n",
                "\nGET / HTTP/1.1\r\n\r\n",
            ),
            ("x\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
            ("\n\n\n", ""),
            ("", ""),
        ] {
            let share = UnfinishedHead::default().share(format!("{given}{held}").as_bytes());
            assert_eq!(share, given.len(), "{given:?} {held:?}");
        }
    }

    #[test]
    fn a_head_grows_until_an_empty_line_ends_it_wherever_packets_begin() {
        let after = |packets: &[&str]| {
            let mut head = UnfinishedHead::default();
            let bytes = packets.iter().map(|packet| packet.as_bytes());
            bytes.for_each(|packet| lines(packet).for_each(|line| _ = head.ends_with(line)));
            head.bytes
        };
        for (packets, bytes) in [
            (&["GET / HTTP/1.1", "\r\nX: x", "\r\nX: x"][..], 26),
            (&["\r\n", "\n", "\r\n"], 5),
            (&["GET / HTTP/1.1\r", "\nX: x\r\n", "\r\n"], 0),
            (&["GET / HTTP/1.1\r\n\r", "\n"], 0),
            (&["GET / HTTP/1.1\n\nGET"], 3),
        ] {
            assert_eq!(after(packets), bytes, "{packets:?}");
        }
    }
}
