// What the rules cost with ten thousand users and roles, and a hundred thousand logins; and what a
// put under a lease of ten thousand keys does.

#include <benchmark/benchmark.h>

#include <string>

#include "apply/permits.h"
#include "auth/auth_store.h"
#include "base/quiet_log.h"
#include "base/text.h"
#include "lease/lease_table.h"

namespace keelson::auth {
namespace {

constexpr int kUsers = 10'000;
constexpr int kTokens = 100'000;
constexpr int kLeasedKeys = 10'000;

class StillClock final : public Clock {
 public:
  MonotonicTime now() const override { return {std::chrono::seconds(100)}; }
  Duration unix_time() const override { return std::chrono::hours(1); }
};

// Each user has a role of its own, and one that all have.
struct World {
  World() {
    add_user("root");
    grant("root", "root");
    add_role("all", "/all/", "/all0");
    for (int i = 0; i < kUsers; ++i) {
      const std::string name = cat("user", i);
      add_user(name);
      add_role(name, cat("/", name, "/"), cat("/", name, "0"));
      grant(name, name);
      grant(name, "all");
    }
    store.enable(batch).IgnoreError();
    for (int i = 0; i < kTokens; ++i) log_in(i);
    store.publish();
    batch.clear();
  }
  void add_user(const std::string& name) {
    etcdserverpb::AuthUserAddRequest request;
    request.set_name(name);
    store.user_add(request, batch).IgnoreError();
  }
  void add_role(const std::string& name, const std::string& key, const std::string& end) {
    etcdserverpb::AuthRoleAddRequest request;
    request.set_name(name);
    store.role_add(request, batch).IgnoreError();
    allow(name, key, end);
  }
  void allow(const std::string& name, const std::string& key, const std::string& end) {
    etcdserverpb::AuthRoleGrantPermissionRequest request;
    request.set_name(name);
    request.mutable_perm()->set_permtype(authpb::Permission::READWRITE);
    request.mutable_perm()->set_key(key);
    request.mutable_perm()->set_range_end(end);
    store.role_grant_permission(request, batch).IgnoreError();
  }
  void grant(const std::string& user, const std::string& role) {
    etcdserverpb::AuthUserGrantRoleRequest request;
    request.set_user(user);
    request.set_role(role);
    store.user_grant_role(request, batch).IgnoreError();
  }
  void log_in(uint64_t place) {
    store.authenticate(cat("user", place % kUsers), "letters", Index(place)).status().IgnoreError();
  }

  log::QuietLog quiet;
  StillClock clock;
  backend::WriteBatch batch;
  AuthStore store{{}, &clock};
};

World& world() {
  static World world;
  return world;
}

void check(benchmark::State& state) {
  const std::shared_ptr<const Rules> rules = world().store.newest();
  const MonotonicTime now = world().clock.now();
  uint64_t i = 0;
  for (auto _ : state) {
    const std::string* user = rules->token_user(cat("letters.", i++ % kTokens), now);
    absl::Status may =
        rules->may({*user, rules->revision()}, Access::kRead, cat("/", *user, "/key"), {});
    if (!may.ok()) return state.SkipWithError("refused");
  }
}
BENCHMARK(check);

// Of a key of its own, which goes again.
void put_under_a_lease(benchmark::State& state) {
  const std::shared_ptr<const Rules> rules = world().store.newest();
  backend::WriteBatch batch;
  lease::LeaseTable leases{lease::LeaseOptions{}};
  leases.grant(LeaseId(1), 60, {}, batch).status().IgnoreError();
  for (int i = 0; i < kLeasedKeys; ++i) {
    leases.attach(LeaseId(1), cat("/user7/", i)).IgnoreError();
  }
  uint64_t i = 0;
  for (auto _ : state) {
    const Identity who{"user7", rules->revision()};
    const std::string key = cat("/all/", ++i);
    const absl::Status may = apply::Permits(*rules, who, &leases).put(key, LeaseId(1), false);
    if (!may.ok()) return state.SkipWithError("refused");
    leases.attach(LeaseId(1), key).IgnoreError();
    leases.detach(key);
  }
}
BENCHMARK(put_under_a_lease);

// As one entry in a batch of its own.
void change_one_user(benchmark::State& state) {
  uint64_t i = 0;
  for (auto _ : state) {
    world().allow(cat("user", i % kUsers), cat("/more/", i), "");
    ++i;
    world().store.publish();
    world().batch.clear();
  }
}
BENCHMARK(change_one_user);

void change_a_role_of_all(benchmark::State& state) {
  uint64_t i = 0;
  for (auto _ : state) {
    world().allow("all", "/all/", i++ % 2 == 0 ? "/all00" : "/all0");
    world().store.publish();
    world().batch.clear();
  }
}
BENCHMARK(change_a_role_of_all)->Unit(benchmark::kMillisecond)->Iterations(20);

void log_in(benchmark::State& state) {
  uint64_t place = kTokens;
  for (auto _ : state) {
    world().log_in(place++);
    world().store.publish();
  }
}
BENCHMARK(log_in)->Iterations(10000);

}  // namespace
}  // namespace keelson::auth

BENCHMARK_MAIN();
