#include "peer/first_contact.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "peer/headers.h"

namespace keelson::peer {

void FirstContact::receive(std::vector<raft::Message> messages, Task taken) {
  if (messages.empty()) return taken();
  const MemberId from = messages.front().from;
  Other& other = others_[from];
  CHECK(!(other.cleared && other.asking));
  if (refused_) return taken();
  // Who has announced itself takes part, and learns nothing from an answer any more.
  if (!other.asking) other.cleared |= parts_.has_announced();
  if (other.cleared) return parts_.receiver->receive(std::move(messages), std::move(taken));
  other.waiting.push_back({std::move(messages), std::move(taken)});
  if (!std::exchange(other.asking, true)) ask(from);
}

void FirstContact::ask(MemberId member) {
  const std::shared_ptr<const membership::View> view = parts_.members();
  const membership::Member* found = view->find(member);
  parts_.ask(
      found ? found->peer_urls : Urls(),
      [this, member](const absl::StatusOr<RemoteCluster>& answer) { answered(member, answer); });
}

// It may have become known as started since the question was asked: by what it said itself.
void FirstContact::answered(MemberId member, const absl::StatusOr<RemoteCluster>& answer) {
  Other& other = others_[member];
  CHECK(other.asking);
  CHECK(!other.cleared);
  other.asking = false;
  if (answer.ok() && !refused_) {
    refused_ = knows_as_started(*answer) && !parts_.has_announced();
    other.cleared = !refused_;
    if (refused_) {
      parts_.refused(absl::FailedPreconditionError(
          cat("member ", id_text(parts_.self.value), " has already been bootstrapped")));
    }
  }
  for (Waiting& waiting : std::exchange(other.waiting, {})) {
    if (!other.cleared) {
      waiting.taken();
    } else {
      parts_.receiver->receive(std::move(waiting.messages), std::move(waiting.taken));
    }
  }
}

bool FirstContact::knows_as_started(const RemoteCluster& cluster) const {
  return std::any_of(cluster.members.begin(), cluster.members.end(), [this](const auto& member) {
    return member.id == parts_.self && !member.client_urls.empty();
  });
}

}  // namespace keelson::peer
