"""Codec + Transport → RaftNetwork: frames, the hello, calls and their deadlines; written once for all of them.

    frame, hello          bytes and rules, without a connection
    reading, outbox       one connection, fairly and in few system calls
    channel · link        the side that dials: calls over one connection · keeping a connection up
    session · server      the side that accepts: requests over one connection · hello, limits, everybody
    peers                 both together: the ways to all peers, which the groups of a node share
    watching              which of them are alive, for groups that ask them nothing
    snapshot              a snapshot over connections that end
    rpc                   the `RaftNetwork` of each group
    endpoint, violations  what all connections of a node share
    tls, certificates     whom to believe and what to show, from files that change while a node runs

Whoever breaks the rules of the wire (a frame that is none, a kind that is out of place, a limit passed) loses the
connection, is counted by reason, and is logged once a second. Whoever asks by the rules for what is not to be had (an
unknown kind or group, a body that does not decode, another's identity) gets an `ErrorResponse`, and the connection
lives.
"""
