//! The end of a connection that is asked.

use std::io;

use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use openraft::Raft;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::select;

use crate::wire::{Request, Response, frames, put};
use crate::{Fault, Types};

pub async fn serve(listener: TcpListener, raft: Raft<Types>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(converse(stream, raft.clone()));
    }
}

/// Requests reach the Raft as they arrive; responses leave in the order of their requests. Ends when either end fails.
async fn converse(stream: TcpStream, raft: Raft<Types>) -> Result<(), Fault> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut requests = frames(reader);
    let mut pending = FuturesOrdered::new();
    let mut out = BytesMut::new();
    loop {
        select! {
            biased;
            Some(response) = pending.next() => put(&response?, &mut out)?,
            written = writer.write_buf(&mut out), if !out.is_empty() => drop(written?),
            frame = requests.next() => {
                let frame = frame.ok_or("closed")??;
                pending.push_back(answer(raft.clone(), postcard::from_bytes(&frame)?));
            }
        }
    }
}

async fn answer(raft: Raft<Types>, request: Request) -> Result<Response, Fault> {
    Ok(match request {
        Request::Append(request) => Response::Append(raft.append_entries(request).await?),
        Request::Vote(request) => Response::Vote(raft.vote(request).await?),
    })
}
