// sim/accounts.h
//
// Users and what they may do. An administrator gives a user of a new name the right to some keys,
// and takes it away in one way or another; the user deletes keys all the while. From some time on
// it counts who asks (auth enable), in some clusters not for ever; everybody else asks as root.
//
// Where that stays so, users ask for leases to be revoked, too, whose locks they may not delete:
// Locks would notice.
//
// Checked: once somebody was told that the user has the right, nothing is refused for want of it;
// once somebody was told that it has gone, nothing more is done in that name. What was not answered
// may yet happen, or not, so it ends the turn, and its names are not used again; else what was
// taken away may be given back. A message that came twice may have given the right back, or taken
// it once more: then the records say so.
//
// Threads: one.

#pragma once

#include <cstdint>
#include <string>

#include "base/text.h"
#include "sim/world.h"

namespace keelson::sim {

class Accounts {
 public:
  explicit Accounts(World& world) : world_(world), for_ever_(world.random().below(3) != 0) {}

  void act();
  // Requests that were done, and that were not, in the name of a user.
  uint64_t admitted() const { return admitted_; }
  uint64_t refused() const { return refused_; }

 private:
  // What was answered last.
  enum class Phase : uint8_t { kNew, kUser, kRole, kPermission, kHas, kGone };

  std::string user() const { return cat("u", turn_); }
  std::string role() const { return cat("r", turn_); }
  template <typename Request>
  void ask(int member, wire::InternalKind kind, const Request& request);
  void answered(const absl::Status& status);
  void begin_turn();
  void set_up(int member);
  void go_on(int member);
  void add_user(int member, const std::string& name);
  void add_role(int member, const std::string& name);
  void permit(int member);
  void grant(int member, const std::string& name, const std::string& role);
  void take_away(int member);
  void look(int member);
  void use(int member);
  void revoke_a_lease(int member);
  void used(int member, Phase phase, uint64_t question, const absl::Status& status);
  bool has_the_right(int member) const;

  World& world_;
  const bool for_ever_;
  int set_up_ = 0;        // steps of setting up that were answered well
  bool counts_ = false;   // who asks, as somebody was told
  bool perhaps_ = false;  // it does not any more
  uint64_t turn_ = 0;
  Phase phase_ = Phase::kNew;
  bool asking_ = false;
  uint64_t question_ = 0;    // an answer to an earlier one says nothing
  bool may_return_ = false;  // what has gone can be given back to the same names
  bool returned_ = false;    // it was, and a message that comes twice may take it away once more
  MonotonicTime asked_;
  uint64_t admitted_ = 0, refused_ = 0;
};

}  // namespace keelson::sim
