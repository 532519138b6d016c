//! What nodes say to each other: postcard in frames that begin with their length.

use bytes::{BufMut, BytesMut};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use serde::{Deserialize, Serialize};
use tokio::net::tcp::OwnedReadHalf;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use crate::{Fault, Types};

const LENGTH_BYTES: usize = 4;
const MAX_FRAME_BYTES: usize = 64 << 20;
const READ_BYTES: usize = 256 << 10;

#[derive(Serialize, Deserialize)]
pub enum Request {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<u64>),
}

#[derive(Serialize, Deserialize)]
pub enum Response {
    Append(AppendEntriesResponse<u64>),
    Vote(VoteResponse<u64>),
}

pub type Frames = FramedRead<OwnedReadHalf, LengthDelimitedCodec>;

pub fn frames(half: OwnedReadHalf) -> Frames {
    let codec = LengthDelimitedCodec::builder()
        .length_field_length(LENGTH_BYTES)
        .max_frame_length(MAX_FRAME_BYTES)
        .new_codec();
    FramedRead::with_capacity(half, codec, READ_BYTES)
}

/// Append a frame to what is to be sent.
pub fn put(message: &impl Serialize, out: &mut BytesMut) -> Result<(), Fault> {
    let start = out.len();
    out.put_bytes(0, LENGTH_BYTES);
    postcard::to_io(message, out.writer())?;
    let length = u32::try_from(out.len() - start - LENGTH_BYTES)?;
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
