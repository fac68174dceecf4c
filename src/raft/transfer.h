// raft/transfer.h
//
// Handing leadership to another (Raft thesis 3.10): bring it up to date, then tell it to campaign
// at once. REQUIRES: leader.

#pragma once

#include "raft/core.h"

namespace keelson::raft {

void handle_transfer(Core& core, Leader& leader, tracker::Progress& progress, MemberId transferee);
void send_timeout_now(Core& core, MemberId to);

}  // namespace keelson::raft
