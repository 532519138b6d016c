"""The conformance kit: whether a codec, a transport or a live node does what `spec/wire.md` says, clause by clause.

    trial, evidence    one subject × one case, what came of it, and the bytes to show of a failure
    known              cases that are known to fail, and what becomes of them
    plan, worker,      the trials of a whole run; in a process of their own, which may hang or crash;
    supervisor         and the process that watches it
    clauses, report/   the titles of the clauses; a run on the terminal, as HTML, JUnit XML and JSON
    codecs/            tier T0: every case there is about a codec, and about two
    links/             tier T1: every case there is about a transport, or a live node
    vectors, values,   the golden bytes of `spec/vectors`; the canonical JSON of messages; messages made by chance
    strategies

On the command line this is `raftsdk conformance`; under pytest it is `--raft-codec` (`raftsdk.testing.pytest_plugin`)
or a test parametrised with `codecs.trials(MyCodec())`. `docs/conformance.md` shows all three. The modules that make
messages by chance or HTML need what `pip install raftsdk[conformance]` brings; nothing else here does.
"""
