// sim/world.h
//
// World is a simulated cluster: real nodes (core, log, state machine, store, watches), each with
// lanes, a clock and a disk of its own, and a network between them. One thing happens at a time;
// which one the seed decides. Members come and go; a place is never used twice.
//
// Watched all along: what members say to each other and what they publish (Oracle, History), and
// that nobody ends by itself but for a fault that says so (excuse()) or a removal.
// Threads: one. Time: a World has a time; members' clocks show it faster or slower.
// Lifetime: members survive the deaths of their processes.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "membership/version.h"
#include "node/test_member.h"
#include "sim/history.h"
#include "sim/network.h"
#include "sim/oracle.h"
#include "sim/stores.h"
#include "sim/violation.h"
#include "sim/watch_door.h"

namespace keelson::sim {

class World {
 public:
  // How a place came to be where it is.
  enum class Life : uint8_t {
    kWaits,    // its member was never started
    kDown,     // may be started again
    kUp,       // its process lives
    kLost,     // its disk is gone, or cannot be read: never again
    kRemoved,  // it ended because it was told that it is removed
  };

  // How members are set up, all alike.
  struct Settings {
    bool pre_vote = true;
    uint64_t max_message_bytes = 1 << 20;
    bool lease_checkpoints = false;
  };

  World(Random& random, int founders, Settings settings);
  ~World();

  // One thing happens; false: nothing ever will again.
  bool step();
  // Until `done`, or so much time has passed; false: it has.
  bool run_until(const std::function<bool()>& done, Duration most);

  int size() const { return static_cast<int>(members_.size()); }
  Life life(int i) const { return members_[i]->life; }
  bool up(int i) const { return life(i) == Life::kUp; }
  bool dead(int i) const { return members_[i]->process->dead(); }
  // Its process takes requests.
  bool serves(int i) const { return lives(i) && !members_[i]->stopping; }
  // Counts the processes of a place: answers to another one's requests never come.
  uint64_t process(int i) const { return members_[i]->processes; }
  node::TestMember& member(int i) { return *members_[i]->process; }
  Stores& stores(int i) { return *members_[i]->stores; }
  WatchDoor& watches(int i) { return *members_[i]->watches; }
  MemberId id(int i) const { return members_[i]->id; }
  // Its place; -1: none.
  int place_of(MemberId id) const;
  // The member that leads in the newest term as far as anybody knows; -1: none.
  int leader() const { return place_of(oracle_.leader()); }
  Term leader_term() const { return oracle_.leader_term(); }
  // The one that led before it, and may not know; -1: none.
  int former_leader() const { return place_of(oracle_.former_leader()); }
  // What somebody did last that others may count on from then on; taken once.
  enum class Deed : uint8_t {
    kOther,
    kAsksForVotes,
    kVotes,
    kAcceptsAppend,   // or a snapshot
    kInstalls,        // begins to
    kMarks,           // its log is marked, and may have let go of what is before
    kApplies,         // and answers whoever asked
    kLearnsVersions,  // of the others, which decides what it asks for
    kRenews,          // a lease, as who holds a lock by it is told
  };
  struct Done {
    int member = -1;  // -1: nobody did anything
    Deed deed = Deed::kOther;
  };
  Done take_done() { return std::exchange(done_, {}); }
  // What a client has seen of it.
  void did(int member, Deed deed) { done_ = {member, deed}; }
  // Of those that serve, the one that has applied most; -1: none serves.
  int most_advanced() const;

  // A place for a member that will join; start() lets it.
  int add_place();
  absl::Status start(int i);
  // The process dies; with `power`, so does what was not synced. What the store had not made
  // durable is lost with the process, or is not.
  void kill(int i, bool power);
  // It is told to end, and does so, with or without the power, once all that it has is durable.
  void stop(int i);
  // It dies, and its disk is gone for good.
  void lose(int i);
  // Whatever it ends of from now on, until its next start, is a fault's doing.
  void excuse(int i) { members_[i]->excused = true; }
  bool excused(int i) const { return members_[i]->excused; }
  // Its disk may be found to be damaged at its next start.
  void doubt(int i) { members_[i]->doubtful = true; }
  // Whether its process may live again, as far as anybody can tell.
  bool sound(int i) const {
    return life(i) != Life::kLost && life(i) != Life::kRemoved && !members_[i]->doubtful;
  }
  // Called before a process dies.
  void on_death(std::function<void(int)> told) { told_of_deaths_.push_back(std::move(told)); }

  // The process stands still, and what it is sent waits. Its clock goes on, as after a SIGSTOP.
  void pause(int i) { members_[i]->paused = true; }
  // So it does with its machine: the clock stands, too, and has missed that time for good.
  void suspend(int i);
  void resume(int i);
  // Everybody stands still for so long, and all clocks go on.
  void freeze(Duration time);
  // How fast its clock goes, in millionths of the world's. Before its first start.
  void set_clock(int i, uint64_t millionths) { members_[i]->clock = millionths; }
  // Somebody sets its wall clock, so far ahead of what it would show; at any moment.
  void set_wall_clock(int i, Duration ahead) { member(i).schedule.set_wall_clock(ahead); }

  // The members in `side` and the others do not hear of each other any more.
  void split(const std::vector<int>& side);
  // Messages from `from` to `to` get lost.
  void cut(int from, int to) { network_.cut(id(from), id(to)); }
  void heal() { network_.heal(); }
  // So many more appends of it that have entries get through, and then nothing that it says, until
  // unhush() or its end.
  void hush(int i, uint64_t appends);
  void unhush(int i);
  // Its appends that have entries get lost, and nothing else, until unmuffle() or its end: what is
  // long does not get through.
  void muffle(int i) { members_[i]->muffled = true; }
  void unmuffle(int i) { members_[i]->muffled = false; }
  // What the others hear when they ask it for its version; nothing: no answer.
  void say_version(int i, std::optional<membership::Version> version) {
    members_[i]->version = version;
  }
  // From now on the cluster's version may go back to this one.
  void downgrade_asked(const std::string& to) { oracle_.downgrade_asked(to); }
  void set_weather(Network::Weather weather) { network_.set_weather(weather); }

  // Where everybody stands, a line each.
  std::string describe() const;
  uint64_t snapshots_installed() const { return snapshots_installed_; }
  MonotonicTime now() const { return now_; }
  History& history() { return history_; }
  Verdict& verdict() { return verdict_; }
  const Verdict& verdict() const { return verdict_; }
  Random& random() { return random_; }

 private:
  class Port;
  struct Arrived {
    raft::Message message;
    Network::StatePtr state;
  };
  struct Member {
    MemberId id;
    std::unique_ptr<Port> port;
    Stores* stores = nullptr;  // the process's
    std::unique_ptr<node::TestMember> process;
    std::unique_ptr<WatchDoor> watches;
    Life life = Life::kWaits;
    uint64_t processes = 0;
    uint64_t applied = 0;  // when last looked
    uint64_t clock = 1'000'000;
    Duration missed{0};  // of what its clock would show
    bool excused = false;
    bool doubtful = false;
    bool paused = false;
    std::optional<MonotonicTime> suspended;  // what its clock shows meanwhile; only while paused
    bool told_removed = false;
    bool stopping = false;
    std::optional<absl::Status> stopped;   // how that went; only while stopping
    std::vector<Arrived> arrived;          // while it was paused
    std::optional<uint64_t> appends_left;  // before it is silent; nothing: that does not come
    bool silent = false;                   // nothing that it says gets through
    bool muffled = false;                  // its appends do not
    std::optional<membership::Version> version = membership::kOurVersion;  // that it says it is
  };

  // `begins`: how it founds the cluster, or joins it.
  void make_member(int i, MemberId id, const node::RecoveryOptions& begins);
  void prepare(int i, node::Node& node);
  node::Versions::List versions_of(const std::vector<membership::Member>& members) const;
  bool is_heard(Member& member, const raft::Message& message);
  void deliver(MemberId to, raft::Message message, Network::StatePtr state);
  void hand_over(Member& member, Arrived arrived);
  void install(Member& member, raft::Message message, const backend::Snapshot& state);
  bool lives(int i) const { return up(i) && !dead(i); }
  bool runs(int i) const { return lives(i) && !members_[i]->paused; }
  MonotonicTime shown(const Member& member) const;
  void wake(Member& member);
  void show_time();
  MonotonicTime real(const Member& member, MonotonicTime shown) const;
  bool run_something();
  void look_after(int i);
  bool pass_time();

  Random& random_;
  const Settings settings_;
  MonotonicTime now_{std::chrono::seconds(1)};
  Verdict verdict_;
  History history_{verdict_};
  Oracle oracle_{verdict_};
  ClusterId cluster_;
  std::vector<std::unique_ptr<Member>> members_;
  Network network_;
  std::vector<std::function<void(int)>> told_of_deaths_;
  Done done_;
  uint64_t snapshots_installed_ = 0;
};

}  // namespace keelson::sim
