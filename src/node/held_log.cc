#include "node/held_log.h"

#include <algorithm>

namespace keelson::node {

void HeldLog::begin(MemberId member, Index index) {
  Hold& hold = holds_[member];
  if (hold.under_way == 0) hold.index = index;
  ++hold.under_way;
}

void HeldLog::end(MemberId member, bool arrived, MonotonicTime now) {
  auto found = holds_.find(member);
  if (found == holds_.end()) return;
  Hold& hold = found->second;
  if (hold.under_way > 0) --hold.under_way;
  if (arrived) hold.until = now + kAfterwards;
  if (hold.under_way == 0 && !hold.until) holds_.erase(found);
}

std::optional<Index> HeldLog::needed(MonotonicTime now) {
  std::erase_if(holds_, [now](const auto& entry) {
    const Hold& hold = entry.second;
    return hold.under_way == 0 && *hold.until <= now;
  });
  std::optional<Index> least;
  for (const auto& [member, hold] : holds_) {
    least = std::min(least.value_or(hold.index), hold.index);
  }
  return least;
}

}  // namespace keelson::node
