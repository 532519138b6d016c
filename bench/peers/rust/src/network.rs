//! The end of a connection that asks: one to each peer, shared by all that is asked of it.

use std::collections::{HashMap, VecDeque};
use std::io;

use bytes::BytesMut;
use futures::StreamExt;
use openraft::BasicNode;
use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::{mpsc, oneshot};

use crate::wire::{Request, Response, frames, put};
use crate::{Fault, Types};

type RpcError<E = RaftError<u64>> = RPCError<u64, BasicNode, E>;

/// A question, and where its answer goes.
struct Call {
    request: Request,
    answer: oneshot::Sender<Response>,
}

/// The way to one peer.
#[derive(Clone)]
pub struct Link(mpsc::UnboundedSender<Call>);

#[derive(Default)]
pub struct Links(HashMap<u64, Link>);

impl RaftNetworkFactory<Types> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Link {
        let open = || {
            let (sender, calls) = mpsc::unbounded_channel();
            tokio::spawn(carry(node.addr.clone(), calls));
            Link(sender)
        };
        self.0.entry(target).or_insert_with(open).clone()
    }
}

impl Link {
    async fn call(&self, request: Request) -> Result<Response, Unreachable> {
        let (answer, response) = oneshot::channel();
        self.0.send(Call { request, answer }).map_err(|_| gone())?;
        response.await.map_err(|_| gone())
    }
}

fn gone() -> Unreachable {
    Unreachable::new(&io::Error::from(io::ErrorKind::NotConnected))
}

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        match self.call(Request::Append(request)).await? {
            Response::Append(response) => Ok(response),
            Response::Vote(_) => Err(gone().into()),
        }
    }

    async fn vote(&mut self, request: VoteRequest<u64>, _option: RPCOption) -> Result<VoteResponse<u64>, RpcError> {
        match self.call(Request::Vote(request)).await? {
            Response::Vote(response) => Ok(response),
            Response::Append(_) => Err(gone().into()),
        }
    }

    async fn install_snapshot(
        &mut self,
        _request: InstallSnapshotRequest<Types>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, RpcError<RaftError<u64, InstallSnapshotError>>> {
        let reason = io::Error::new(io::ErrorKind::Unsupported, "no snapshots");
        Err(RPCError::Unreachable(Unreachable::new(&reason)))
    }
}

/// Connect when there is something to say; what a broken connection leaves unanswered fails by being dropped.
async fn carry(address: String, mut calls: mpsc::UnboundedReceiver<Call>) {
    while let Some(first) = calls.recv().await {
        if let Ok(stream) = TcpStream::connect(&address).await {
            let _ = converse(stream, first, &mut calls).await;
        }
    }
}

async fn converse(stream: TcpStream, first: Call, calls: &mut mpsc::UnboundedReceiver<Call>) -> Result<(), Fault> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut responses = frames(reader);
    let mut asked = VecDeque::new();
    let mut out = BytesMut::new();
    put(&first.request, &mut out)?;
    asked.push_back(first.answer);
    loop {
        select! {
            biased;
            Some(call) = calls.recv() => {
                put(&call.request, &mut out)?;
                asked.push_back(call.answer);
            }
            frame = responses.next() => {
                let answer = asked.pop_front().ok_or("an answer to nothing")?;
                // Who asked may have stopped waiting.
                let _ = answer.send(postcard::from_bytes(&frame.ok_or("closed")??)?);
            }
            written = writer.write_buf(&mut out), if !out.is_empty() => drop(written?),
        }
    }
}
