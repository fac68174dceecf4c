// peer/hub.h
//
// Hub is a running Network on its loop: who the members are, and a Remote for each of them.
//
// Threads: the peer loop.
// Bounds: kIntroduced members that are known by their own word only; whoever was sent to least
//   recently makes room.

#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "membership/cluster.h"
#include "peer/context.h"
#include "peer/handshake.h"
#include "peer/remote.h"

namespace keelson::peer {

class Hub {
 public:
  using ViewPtr = std::shared_ptr<const membership::View>;

  struct Parts {
    net::Loop* loop;
    net::HttpClient* client;
    Ask* ask;
    const NetworkOptions* options;
    Identity identity;
    Receiver* receiver;
    Observer* observer;
    Workers* workers;
    LineBudget* lines;
    LocalAnswers* answers;
    SnapshotHome* snapshots;  // may be null
    // Gets what Network::active() returns.
    std::function<void(Network::Active)> publish_active;
  };
  explicit Hub(Parts parts);
  ~Hub();

  void set_members(ViewPtr members);
  void send(std::vector<raft::Message> messages);
  void send_snapshot(raft::Message message, std::shared_ptr<const backend::Snapshot> state);

  const Context& context() const { return context_; }
  LocalAnswers& answers() { return answers_; }
  // Null: none are taken.
  SnapshotHome* snapshots() { return context_.snapshots; }
  const membership::View& members() const { return *members_; }
  Standing standing(MemberId member) const;
  // Whom metrics name for `member`: nobody for one that is none.
  MemberId counted(MemberId member) const {
    return members_->find(member) ? member : raft::kNobody;
  }
  // What a message from another member is refused for.
  std::optional<Refusal> judge(const raft::Message& message) const;
  // A request was refused for its sender's version, or cluster.
  void incompatible(const PeerHeaders& headers) { floor_.refused(headers, *members_); }
  // Null: it is no member.
  Remote* find(MemberId member);
  // The same, or one that was introduced.
  Remote* find_any(MemberId member);
  // Nothing for one that is known.
  void introduce(IntroducedMember member);

 private:
  static constexpr size_t kIntroduced = 64;
  struct Introduced {
    std::unique_ptr<Remote> remote;
    uint64_t used = 0;  // the larger, the later
  };

  void add(const membership::Member& member);
  void update(Remote& remote, const membership::Member& member);
  void remove_missing(const membership::View& members);
  void make_room();
  void tick();
  void publish_active();
  void removed();

  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
  VersionFloor floor_;
  const Context context_;
  LocalAnswers& answers_;
  const std::function<void(Network::Active)> publish_active_;
  ViewPtr members_ = std::make_shared<membership::View>();
  std::map<MemberId, std::unique_ptr<Remote>> remotes_;  // exactly members_ but for this one
  std::map<MemberId, Introduced> introduced_;            // none of remotes_; <= kIntroduced
  uint64_t uses_ = 0;
  bool told_removed_ = false;
};

}  // namespace keelson::peer
