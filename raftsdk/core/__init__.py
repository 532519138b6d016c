"""The algorithm: facts in, work out. No clock, no chance, no I/O.

    Tick, Propose, ChangeMembership, ReadIndex, Received, Answered, Persisted …  ──►  Raft.step, Raft.ready  ──►  Ready

Theory of operation
-------------------
`step` changes memory and nothing else. `ready` hands out what follows, in groups that say when each may be done: calls
at once, a write to the disk, answers to peers once the write they name is durable, committed entries whenever
convenient. One write is in flight at a time and the core goes on stepping meanwhile; what comes up is in the next one.
A slow disk therefore delays promises and commits, never a heartbeat about what is already durable.

What always holds
-----------------
1. At most one leader a term: one vote a term, durable before anybody learns of it, and a candidate's own vote durable
   before it leads (Election Safety).
2. A leader only appends; nobody truncates a committed entry (Leader Append-Only).
3. Entries with the same index and term are the same, and so is all before them (Log Matching).
4. A leader has every entry committed before its term (Leader Completeness): votes go to logs at least as complete, and
   an entry is committed by counting only when it is of the leader's own term.
5. `compacted ≤ snapshot ≤ handed ≤ commit ≤ last` and `durable ≤ submitted ≤ last`; term, vote within a term, and
   commit never go back.
6. The commit index sent to a peer never exceeds what that very request proves the peer has.
7. At most one membership is not committed, and the majorities of two that follow each other overlap. Who does not have
   the data that the membership means votes for nobody.

Roads not taken
---------------
- *Waiting for each write before the next step*, as simpler cores do. Every answer is then safe without naming its
  write, but a sync of half a second silences heartbeats and costs an election.
- *A message type for heartbeats.* An empty AppendEntries that builds on what is known to match does the same.
- *Counting calls under way over all time.* A lost call would block a probe until its deadline; epochs let go of it.
- *A window of indexes* (etcd's inflights). Each of our calls ends exactly once, so a count is enough.
"""
