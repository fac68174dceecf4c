#include "peer/peer_status.h"

#include <string>

#include "base/log.h"
#include "base/text.h"

namespace keelson::peer {

PeerStatus::~PeerStatus() {
  if (active()) context_.observer.active(counted_, false);
}

void PeerStatus::activate() {
  if (active()) return;
  since_ = context_.loop.now();
  log::info("peer became active", {{"peer-id", id_text(remote_.value)}});
  context_.observer.active(counted_, true);
  context_.activity_changed();
}

void PeerStatus::deactivate(const Failure& failure) {
  const std::string error = cat("failed to ", failure.action, " ", id_text(remote_.value), " on ",
                                failure.source, " (", failure.reason, ")");
  if (!active()) {
    return log::debug("peer deactivated again",
                      {{"peer-id", id_text(remote_.value)}, {"error", error}});
  }
  since_.reset();
  log::warn("peer became inactive (message send to peer failed)",
            {{"peer-id", id_text(remote_.value)}, {"error", error}});
  context_.observer.active(counted_, false);
  context_.activity_changed();
}

}  // namespace keelson::peer
