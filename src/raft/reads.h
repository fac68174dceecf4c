// raft/reads.h
//
// Linearizable reads without log entries, at the leader (Raft thesis 6.4). REQUIRES: leader.
//
// A quorum must have followed this leader at some moment after the read was asked for. Echoes of a
// heartbeat show that. So does a forwarded read that names our term, for the member
// that sent it and for that read alone: it was sent after it was asked for. It says nothing of
// reads that came before it, which may be younger than its sending. etcd-raft's name none; it is
// for a driver to add the term that its member is in when it sends them.

#pragma once

#include "raft/core.h"

namespace keelson::raft {

// `named`: the term that it came with, 0: none.
void handle_read_index(Core& core, ReadRequest request, Term named);
// A heartbeat's answer may confirm reads.
void handle_read_acknowledgement(Core& core, Leader& leader, const Message& message);
// Something was committed in this term: reads that waited for that may go on.
void release_reads(Core& core);

}  // namespace keelson::raft
