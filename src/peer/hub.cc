#include "peer/hub.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "base/told.h"

namespace keelson::peer {

namespace {

// How often streams are looked at. Their own times are seconds.
constexpr Duration kTick = std::chrono::milliseconds(200);

// As Go prints a list.
std::string listed(const std::vector<std::string>& urls) {
  return cat("[", absl::StrJoin(urls, " "), "]");
}

}  // namespace

Hub::Hub(Parts parts)
    : floor_({.loop = parts.loop,
              .answers = parts.answers,
              .ask = parts.ask,
              .lines = parts.lines,
              .self = parts.identity.member,
              .timeout = parts.options->read_timeout}),
      context_{.loop = *parts.loop,
               .client = *parts.client,
               .options = *parts.options,
               .identity = std::move(parts.identity),
               .receiver = *parts.receiver,
               .observer = *parts.observer,
               .workers = *parts.workers,
               .snapshots = parts.snapshots,
               .lines = *parts.lines,
               .floor = floor_,
               .removed = [this] { removed(); },
               .activity_changed = [this] { publish_active(); }},
      answers_(*parts.answers),
      publish_active_(std::move(parts.publish_active)) {
  tick();
}

Hub::~Hub() = default;

Standing Hub::standing(MemberId member) const {
  const std::vector<MemberId>& removed = members_->removed;
  if (std::binary_search(removed.begin(), removed.end(), member)) return Standing::kRemoved;
  return members_->find(member) ? Standing::kMember : Standing::kUnknown;
}

std::optional<Refusal> Hub::judge(const raft::Message& message) const {
  return judge_message(message, context_.self(), [this](MemberId id) { return standing(id); });
}

Remote* Hub::find(MemberId member) {
  auto found = remotes_.find(member);
  return found == remotes_.end() ? nullptr : found->second.get();
}

Remote* Hub::find_any(MemberId member) {
  if (Remote* remote = find(member)) return remote;
  auto found = introduced_.find(member);
  if (found == introduced_.end()) return nullptr;
  found->second.used = ++uses_;
  return found->second.remote.get();
}

// --- who the members are ---------------------------------------------------------------------

void Hub::set_members(ViewPtr members) {
  CHECK(members);
  members_ = std::move(members);
  remove_missing(*members_);
  for (const membership::Member& member : members_->members) {
    if (member.id == context_.self()) continue;
    if (Remote* remote = find(member.id)) {
      update(*remote, member);
    } else {
      add(member);
    }
  }
  publish_active();
}

void Hub::remove_missing(const membership::View& members) {
  for (auto it = remotes_.begin(); it != remotes_.end();) {
    const MemberId id = it->first;
    if (members.find(id)) {
      ++it;
      continue;
    }
    it = remotes_.erase(it);
    log::info("removed remote peer", {{"local-member-id", id_text(context_.self().value)},
                                      {"removed-remote-peer-id", id_text(id.value)}});
  }
  for (MemberId id : members.removed) introduced_.erase(id);
}

void Hub::add(const membership::Member& member) {
  introduced_.erase(member.id);
  remotes_[member.id] = std::make_unique<Remote>(
      Remote::Options{.context = &context_,
                      .id = member.id,
                      .urls = member.peer_urls,
                      .judge = [this](const raft::Message& message) { return judge(message); }},
      true);
  log::info("added remote peer", {{"local-member-id", id_text(context_.self().value)},
                                  {"remote-peer-id", id_text(member.id.value)},
                                  {"remote-peer-urls", listed(member.peer_urls)}});
}

void Hub::update(Remote& remote, const membership::Member& member) {
  if (remote.urls() == member.peer_urls) return;
  remote.update(member.peer_urls);
  log::info("updated remote peer", {{"local-member-id", id_text(context_.self().value)},
                                    {"updated-remote-peer-id", id_text(member.id.value)},
                                    {"updated-remote-peer-urls", listed(member.peer_urls)}});
}

void Hub::introduce(IntroducedMember member) {
  if (member.id == context_.self() || member.id == raft::kNobody) return;
  if (standing(member.id) != Standing::kUnknown || introduced_.contains(member.id)) return;
  make_room();
  const std::string urls = listed(member.urls);
  auto remote = std::make_unique<Remote>(
      Remote::Options{.context = &context_, .id = member.id, .urls = std::move(member.urls)},
      false);
  introduced_[member.id] = {std::move(remote), ++uses_};
  if (!take_line(&context_.lines, kUsualLine)) return;
  log::info("added new remote peer", {{"local-member-id", id_text(context_.self().value)},
                                      {"remote-peer-id", id_text(member.id.value)},
                                      {"remote-peer-urls", told(urls)}});
}

void Hub::make_room() {
  if (introduced_.size() < kIntroduced) return;
  introduced_.erase(
      std::min_element(introduced_.begin(), introduced_.end(),
                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
  CHECK(introduced_.size() < kIntroduced);
}

// --- what goes to them -----------------------------------------------------------------------

void Hub::send(std::vector<raft::Message> messages) {
  for (raft::Message& message : messages) {
    Remote* remote = find_any(message.to);
    if (remote) {
      remote->push(std::move(message));
    } else if (message.to != raft::kNobody) {
      log::debug("ignored message send request; unknown remote peer target",
                 {{"type", raft::name_of(message.type)},
                  {"unknown-target-peer-id", id_text(message.to.value)}});
    }
  }
  for (auto& [id, remote] : remotes_) remote->flush();
  for (auto& [id, introduced] : introduced_) introduced.remote->flush();
}

void Hub::send_snapshot(raft::Message message, std::shared_ptr<const backend::Snapshot> state) {
  const MemberId to = message.to;
  if (Remote* remote = find(to)) return remote->send_snapshot(std::move(message), std::move(state));
  log::warn("did not send a database snapshot to a member that is not there",
            {{"remote-peer-id", id_text(to.value)}});
  context_.receiver.snapshot_sent(to, false);
}

void Hub::tick() {
  context_.loop.post_after(kTick, [this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) tick();
  });
  for (auto& [id, remote] : remotes_) remote->tick();
}

// --- what is told ----------------------------------------------------------------------------

void Hub::publish_active() {
  Network::Active active;
  for (const auto& [id, remote] : remotes_) {
    if (auto since = remote->active_since()) active.emplace(id, *since);
  }
  publish_active_(std::move(active));
}

void Hub::removed() {
  if (std::exchange(told_removed_, true)) return;
  log::error("the member has been permanently removed from the cluster",
             {{"local-member-id", id_text(context_.self().value)},
              {"cluster-id", id_text(context_.identity.cluster.value)}});
  context_.receiver.removed();
}

}  // namespace keelson::peer
