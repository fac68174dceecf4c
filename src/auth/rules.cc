#include "auth/rules.h"

#include "base/check.h"
#include "base/errors.h"

namespace keelson::auth {
namespace {

// Putting a deadline off by less is not worth a write that other lanes would see.
constexpr Duration kTokenGrain = std::chrono::milliseconds(100);

}  // namespace

absl::Status Rules::may(const Identity& who, Access access, std::string_view key,
                        std::string_view range_end) const {
  if (!enabled_) return absl::OkStatus();
  const absl::StatusOr<const UserRules*> rules = rules_for(who);
  if (!rules.ok()) return rules.status();
  return (*rules)->may(access, key, range_end) ? absl::OkStatus() : errors::PermissionDenied();
}

absl::StatusOr<const UserRules*> Rules::rules_for(const Identity& who) const {
  CHECK(enabled_);
  if (who.revision == 0) return errors::UserEmpty();
  if (who.revision < revision_) return errors::AuthOldRevision();
  const UserRules* rules = user(who.user);
  if (rules == nullptr) return errors::PermissionDenied();
  return rules;
}

absl::Status Rules::may_administrate(const Identity& who) const {
  if (!enabled_) return absl::OkStatus();
  if (who.user.empty()) return errors::UserEmpty();
  const UserRules* rules = user(who.user);
  if (rules == nullptr) return errors::UserNotFound();
  return rules->is_root ? absl::OkStatus() : errors::PermissionDenied();
}

const UserRules* Rules::user(std::string_view name) const {
  const std::shared_ptr<const UserRules>* found = users_.find(name);
  return found ? found->get() : nullptr;
}

const std::string* Rules::token_user(std::string_view token, MonotonicTime now) const {
  const std::shared_ptr<Token>* found = tokens_.find(token);
  if (found == nullptr) return nullptr;
  std::atomic<Duration>& deadline = (*found)->deadline;
  const Duration until = deadline.load(std::memory_order_relaxed);
  if (until <= now.since_origin) return nullptr;
  const Duration later = now.since_origin + token_ttl_;
  if (later - until >= kTokenGrain) deadline.store(later, std::memory_order_relaxed);
  return &(*found)->user;
}

}  // namespace keelson::auth
