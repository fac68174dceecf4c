// raft/reads.h
//
// Linearizable reads without log entries, at the leader (Raft thesis 6.4). REQUIRES: leader.

#pragma once

#include "raft/core.h"

namespace keelson::raft {

void handle_read_index(Core& core, ReadRequest request);
// A heartbeat's answer may confirm reads.
void handle_read_acknowledgement(Core& core, Leader& leader, const Message& message);
// Something was committed in this term: reads that waited for that may go on.
void release_reads(Core& core);

}  // namespace keelson::raft
