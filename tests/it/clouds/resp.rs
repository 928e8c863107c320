//! Redis' protocol, RESP2, as a proxy reads it.

use std::{borrow::Cow, io};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(crate) type Stream = BufReader<TcpStream>;

/// Sends a command, and returns the bytes of its answer.
pub(crate) async fn ask(words: &[Vec<u8>], shard: &mut Stream) -> io::Result<Vec<u8>> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(
            format!("${}\r\n", word.len())
                .bytes()
                .chain(word.iter().copied())
                .chain(*b"\r\n"),
        );
    }
    shard.write_all(&request).await?;
    let mut answer = Vec::new();
    // How many values are still to come; an array adds its own.
    let mut left = 1;
    while left > 0 {
        left -= 1;
        let line = line(shard).await?;
        let count = text(&line[1..]).trim().parse::<usize>();
        answer.extend_from_slice(&line);
        match (line[0], count) {
            (b'*', Ok(count)) => left += count,
            (b'$', Ok(length)) => {
                let start = answer.len();
                answer.resize(start + length + 2, 0);
                shard.read_exact(&mut answer[start..]).await?;
            }
            _ => {}
        }
    }
    Ok(answer)
}

/// A command, which is an array of strings.
pub(crate) async fn command(near: &mut Stream) -> io::Result<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    for _ in 0..number(near).await? {
        let mut word = vec![0; number(near).await? + 2];
        near.read_exact(&mut word).await?;
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Ok(words)
}

/// The number of a line, behind its first character.
async fn number(near: &mut Stream) -> io::Result<usize> {
    text(&line(near).await?[1..])
        .trim()
        .parse()
        .map_err(io::Error::other)
}

async fn line(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    match stream.read_until(b'\n', &mut line).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
