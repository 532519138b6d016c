@0xfefe7477a88fb876;
# The messages of raftsdk's wire, one struct each. spec/wire.md says what they mean; this file says where they stand.
#
# Names are those of raftsdk/messages.py in camelCase: `prev_log_index` there is `prevLogIndex` here. Ordinals are the
# order of the fields there. Integers run to 2^63-1. What messages.py enumerates travels as text, so that a newer node
# may say what an older one has no name for. A field that is absent is zero or empty.
#
# The file only grows: a field keeps its ordinal and its meaning for ever.

# -- peer plane

struct AppendEntriesRequest {
  term @0 :UInt64;
  leaderId @1 :Text;
  prevLogIndex @2 :UInt64;
  prevLogTerm @3 :UInt64;
  leaderCommit @4 :UInt64;
  entries @5 :EntryColumns;
  quiesce @6 :Bool;
}

struct EntryColumns {
  # A list of entries, field by field: reading a column is one loop, reading a list of structs is one object an entry.
  # There are as many entries as `data` has items. `terms` and `kinds` have as many, or a single one that all share.

  terms @0 :List(UInt64);
  kinds @1 :List(UInt64);
  data @2 :List(Data);
}

struct AppendEntriesResponse {
  term @0 :UInt64;
  success @1 :Bool;
  conflictIndex @2 :UInt64;
  conflictTerm @3 :UInt64;
  quiesced @4 :Bool;
}

struct RequestVoteRequest {
  term @0 :UInt64;
  candidateId @1 :Text;
  lastLogIndex @2 :UInt64;
  lastLogTerm @3 :UInt64;
  preVote @4 :Bool;
  leadershipTransfer @5 :Bool;
}

struct RequestVoteResponse {
  term @0 :UInt64;
  voteGranted @1 :Bool;
}

struct InstallSnapshotRequest {
  term @0 :UInt64;
  leaderId @1 :Text;
  lastIncludedIndex @2 :UInt64;
  lastIncludedTerm @3 :UInt64;
  membership @4 :Membership;
  totalBytes @5 :UInt64;
  digest @6 :Data;
  offset @7 :UInt64;
  data @8 :Data;
}

struct Membership {
  members @0 :List(Member);
  outgoing @1 :List(Text);
}

struct Member {
  id @0 :Text;
  addresses @1 :List(Text);
  suffrage @2 :Text;
  incarnation @3 :UInt64;
}

struct InstallSnapshotResponse {
  term @0 :UInt64;
  nextOffset @1 :UInt64;
  installed @2 :Bool;
}

struct TimeoutNowRequest {
  term @0 :UInt64;
  leaderId @1 :Text;
}

struct TimeoutNowResponse {
  term @0 :UInt64;
}

struct ReadIndexRequest {
  term @0 :UInt64;
  nodeId @1 :Text;
}

struct ReadIndexResponse {
  term @0 :UInt64;
  readIndex @1 :UInt64;
}

# -- client plane

struct ProposeRequest {
  command @0 :Data;
  sessionId @1 :UInt64;
  sequence @2 :UInt64;
  firstUnanswered @3 :UInt64;
}

struct ProposeResponse {
  index @0 :UInt64;
  result @1 :Data;
}

struct QueryRequest {
  query @0 :Data;
  consistency @1 :Text;
  maxStalenessMs @2 :UInt64;
}

struct QueryResponse {
  appliedIndex @0 :UInt64;
  result @1 :Data;
}

struct StatusRequest {
}

struct StatusResponse {
  nodeId @0 :Text;
  clusterId @1 :Text;
  role @2 :Text;
  term @3 :UInt64;
  leaderId @4 :Text;
  lastLogIndex @5 :UInt64;
  durableIndex @6 :UInt64;
  commitIndex @7 :UInt64;
  appliedIndex @8 :UInt64;
  peers @9 :List(PeerStatus);
  suffrage @10 :Text;
  membershipIndex @11 :UInt64;
  joint @12 :Bool;
  firstLogIndex @13 :UInt64;
  snapshotIndex @14 :UInt64;
}

struct PeerStatus {
  nodeId @0 :Text;
  addresses @1 :List(Text);
  state @2 :Text;
  matchIndex @3 :UInt64;
  nextIndex @4 :UInt64;
  outstandingCalls @5 :UInt64;
  connected @6 :Bool;
  codec @7 :Text;
  transport @8 :Text;
  suffrage @9 :Text;
}

struct ChangeMembershipRequest {
  members @0 :List(Member);
  remove @1 :List(Text);
}

struct ChangeMembershipResponse {
  index @0 :UInt64;
  membership @1 :Membership;
}

struct TransferLeadershipRequest {
  target @0 :Text;
}

struct TransferLeadershipResponse {
  leaderId @0 :Text;
  term @1 :UInt64;
}

struct OpenSessionRequest {
}

struct OpenSessionResponse {
  sessionId @0 :UInt64;
}

struct TakeSnapshotRequest {
}

struct TakeSnapshotResponse {
  lastIncludedIndex @0 :UInt64;
  totalBytes @1 :UInt64;
}

struct ErrorResponse {
  code @0 :Text;
  message @1 :Text;
  leaderId @2 :Text;
  leaderAddresses @3 :List(Text);
  retryAfterMs @4 :UInt64;
}
