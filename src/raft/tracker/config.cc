#include "raft/tracker/config.h"

namespace keelson::raft::tracker {

quorum::IdSet Config::members() const {
  quorum::IdSet all = voters.all();
  for (MemberId id : learners) all.insert(id);
  return all;
}

ConfState conf_state(const Config& config) {
  return {.voters = config.voters.incoming.sorted(),
          .learners = config.learners.sorted(),
          .voters_outgoing = config.voters.outgoing.sorted(),
          .learners_next = config.learners_next.sorted(),
          .auto_leave = config.auto_leave};
}

std::string to_string(const Config& config) {
  std::string text = "voters=" + quorum::to_string(config.voters);
  if (!config.learners.empty()) text += " learners=" + quorum::to_string(config.learners);
  if (!config.learners_next.empty()) {
    text += " learners_next=" + quorum::to_string(config.learners_next);
  }
  if (config.auto_leave) text += " autoleave";
  return text;
}

}  // namespace keelson::raft::tracker
