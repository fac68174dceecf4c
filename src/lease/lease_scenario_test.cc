// Runs testdata/*.txt: lease scenarios in which the clock is a command.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/scenario.h"
#include "lease/lease_record.h"
#include "lease/lease_table.h"
#include "lease/map_reader.h"

namespace keelson::lease {
namespace {

using scenario::Command;

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char c : bytes) {
    out += kDigits[c >> 4];
    out += kDigits[c & 15];
  }
  return out;
}

// Keys are bytes; the files are text.
std::string printable(std::string_view bytes) {
  std::string out;
  for (char c : bytes) out += c > ' ' && c < 127 ? std::string(1, c) : "\\x" + hex({&c, 1});
  return out;
}

std::string print(const absl::Status& status) {
  return status.ok() ? "ok"
                     : cat("error ", absl::StatusCodeToString(status.code()), ": ",
                           from_absl(status.message()));
}

// One table, its records, and a clock that only `advance` moves.
class World {
 public:
  std::string run(const Command& c) {
    if (c.name == "new") return create(c);
    if (c.name == "advance") return advance(c);
    if (c.name == "grant") return grant(c);
    if (c.name == "revoke") return revoke(c);
    if (c.name == "attach") return print(table_->attach(id(c), c.text("key")));
    if (c.name == "detach") return table_->detach(c.text("key")), "";
    if (c.name == "promote") return table_->promote(ms(c.number("extend")), now_), "";
    if (c.name == "demote") return table_->demote(), take_settled();
    if (c.name == "renew") return renew(c);
    if (c.name == "ttl") return ttl(c);
    if (c.name == "keys") return join(table_->list_keys(id(c)).sorted());
    if (c.name == "lease_of") return cat(table_->lease_of(c.text("key")).value);
    if (c.name == "list") return join(table_->list().by_expiry());
    if (c.name == "expired") return join(table_->take_expired(now_));
    if (c.name == "checkpoint") return checkpoint(c);
    if (c.name == "due_checkpoints") return due_checkpoints(c);
    if (c.name == "records") return records();
    if (c.name == "corrupt") return reader_.records[encode_key(id(c))] = c.text("value"), "";
    if (c.name == "restart") return restart(c);
    return cat("unknown command ", c.name);
  }

  void check() const {
    if (table_) table_->check_invariants();
  }

 private:
  static LeaseId id(const Command& c) { return LeaseId(c.number("id")); }
  static Duration ms(int64_t n) { return std::chrono::milliseconds(n); }

  template <typename T>
  static std::string join(const std::vector<T>& all) {
    std::string out;
    for (const T& one : all) {
      if (!out.empty()) out += ' ';
      if constexpr (std::is_same_v<T, LeaseId>) {
        out += cat(one.value);
      } else {
        out += printable(one);
      }
    }
    return out.empty() ? "none" : out;
  }

  std::string create(const Command& c) {
    options_.min_ttl_seconds = c.number("min_ttl", 2);
    options_.revoke_rate = static_cast<int>(c.number("revoke_rate", 1000));
    options_.checkpoints = c.has("checkpoints");
    options_.persist_checkpoints = !c.has("keep_in_memory");
    options_.checkpoint_interval = std::chrono::seconds(c.number("interval", 300));
    table_ = std::make_unique<LeaseTable>(options_);
    reader_.records.clear();
    return "";
  }

  std::string advance(const Command& c) {
    now_ = now_ + ms(c.number("ms"));
    return "";
  }

  std::string grant(const Command& c) {
    backend::WriteBatch batch;
    auto ttl = table_->grant(id(c), c.number("ttl"), now_, batch);
    reader_.apply(batch);
    return ttl.ok() ? cat("ttl=", *ttl) : print(ttl.status());
  }

  std::string revoke(const Command& c) {
    backend::WriteBatch batch;
    auto keys = table_->revoke(id(c), batch);
    reader_.apply(batch);
    if (!keys.ok()) return print(keys.status());
    return cat("keys: ", join(*keys), "\n", take_settled());
  }

  std::string renew(const Command& c) {
    auto renewal = table_->renew(id(c), now_);
    if (!renewal.ok()) return print(renewal.status());
    switch (renewal->state) {
      case Renewal::State::kRenewed:
        return cat("ttl=", renewal->ttl_seconds);
      case Renewal::State::kClearCheckpointFirst:
        return "clear the checkpoint first";
      case Renewal::State::kExpired:
        break;
    }
    table_->when_settled(id(c), [this, lease = id(c)](absl::Status status) {
      settled_ += cat("renewal of ", lease.value, ": ", print(status), "\n");
    });
    return "expired, waits";
  }

  std::string ttl(const Command& c) {
    auto ttl = table_->time_to_live(id(c), now_);
    if (!ttl.ok()) return print(ttl.status());
    return cat("granted=", ttl->granted_ttl_seconds, " remaining=", ttl->remaining_seconds);
  }

  std::string checkpoint(const Command& c) {
    backend::WriteBatch batch;
    table_->checkpoint({id(c), c.number("remaining")}, now_, batch);
    reader_.apply(batch);
    return "";
  }

  std::string due_checkpoints(const Command& c) {
    std::string out;
    for (const Checkpoint& due :
         table_->take_due_checkpoints(now_, static_cast<size_t>(c.number("max", 1000)))) {
      out += cat(due.id.value, ": ", due.remaining_ttl_seconds, "\n");
    }
    return out.empty() ? "none" : out;
  }

  std::string records() {
    std::string out;
    for (const auto& [key, value] : reader_.records) out += cat(hex(key), " ", hex(value), "\n");
    return out.empty() ? "none" : out;
  }

  std::string restart(const Command& c) {
    options_.min_ttl_seconds = c.number("min_ttl", options_.min_ttl_seconds);
    table_ = std::make_unique<LeaseTable>(options_);
    return print(table_->restore(reader_));
  }

  std::string take_settled() { return std::exchange(settled_, ""); }

  LeaseOptions options_;
  MonotonicTime now_{std::chrono::seconds(1000)};
  MapReader reader_;
  std::string settled_;
  std::unique_ptr<LeaseTable> table_;
};

TEST(LeaseScenario, All) {
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(KEELSON_SOURCE_DIR "/src/lease/testdata")) {
    World world;
    EXPECT_EQ(scenario::run_scenario(entry.path().string(),
                                     [&](const Command& command) {
                                       std::string out = world.run(command);
                                       world.check();
                                       return out;
                                     }),
              "");
    ++files;
  }
  EXPECT_GE(files, 6);
}

}  // namespace
}  // namespace keelson::lease
