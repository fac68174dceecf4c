#include "node/heartbeat_watch.h"

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/time_text.h"

namespace keelson::node {

bool HeartbeatWatch::is_late(MemberId to, MonotonicTime now) {
  const Duration exceeded = sent(to, now);
  if (exceeded <= Duration(0)) return false;
  log::warn(
      "leader failed to send out heartbeat on time; took too long, leader is overloaded likely "
      "from slow disk",
      {{"to", absl::StrCat(absl::Hex(to.value))},
       {"heartbeat-interval", duration_text(most_ / 2)},
       {"expected-duration", duration_text(most_)},
       {"exceeded-duration", duration_text(exceeded)}});
  return true;
}

}  // namespace keelson::node
