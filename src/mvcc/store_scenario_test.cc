// Runs the scripts in testdata/: one command, "----", the whole observable result, an empty line.
// KEELSON_REWRITE=1 writes what came instead of comparing.
//
//   put k=… v=… [lease=…] [ignore_value] [ignore_lease] [prev]    one transaction each …
//   del k=… [end=…] [prev]
//   txn                                                    … or several in one: a line each, then
//   end                                                    this
//   range k=… [end=…] [rev=…] [limit=…] [order=asc|desc] [target=key|version|create|mod|value]
//         [keys_only] [count_only] [no_total] [min_mod=…] [max_mod=…] [min_create=…] [max_create=…]
//   compact rev=…      schedules it
//   step work=…        one slice of it;  work=all: all slices
//   hash [rev=…]       history from=… [to=…]       bucket       flush       restart       crash
// In keys and ends "\0" stands for the zero byte.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "backend/memory_backend.h"
#include "base/errors.h"
#include "base/text.h"
#include "mvcc/revision_key.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

using Arguments = std::map<std::string, std::string>;

std::string show_kv(std::string_view encoded) {
  KeyValueView kv;
  if (!decode_key_value(encoded, &kv)) return "(does not parse)";
  std::string out = cat(kv.key, "=", kv.value, " (create=", kv.create_revision,
                        " mod=", kv.mod_revision, " version=", kv.version);
  if (kv.lease != 0) out += cat(" lease=", kv.lease);
  return out + ")";
}

std::string show_status(const absl::Status& status) {
  return cat("error ", absl::StatusCodeToString(status.code()), ": ", message_of(status), "\n");
}

class World {
 public:
  World() { open(); }

  std::string run(const std::string& line) {
    std::istringstream words(line);
    std::string verb, word;
    words >> verb;
    Arguments a;
    while (words >> word) {
      size_t at = word.find('=');
      std::string value = at == std::string::npos ? "" : word.substr(at + 1);
      for (size_t z; (z = value.find("\\0")) != std::string::npos;) value.replace(z, 2, 1, '\0');
      a[word.substr(0, at)] = value;
    }
    return dispatch(verb, a);
  }

  // Ends what a script's block did.
  std::string block(const std::vector<std::string>& lines) {
    std::string out;
    if (lines.front() == "txn") {
      txn_.emplace(store_->begin());
      for (size_t i = 1; i < lines.size(); ++i) out += run(lines[i]);
      txn_.reset();
      return out + publish();
    }
    for (const std::string& line : lines) out += run(line);
    return out;
  }

 private:
  std::string dispatch(const std::string& verb, Arguments& a) {
    if (verb == "put") return changing([&](WriteTxn& txn) { return put(txn, a); });
    if (verb == "del") return changing([&](WriteTxn& txn) { return del(txn, a); });
    if (verb == "range") return range(a);
    if (verb == "compact") return compact(a);
    if (verb == "step") return step(a);
    if (verb == "hash") return hash(a);
    if (verb == "history") return history(a);
    if (verb == "bucket") return bucket();
    if (verb == "flush") {
      backend_.flush([](absl::Status) {});
      return "ok\n";
    }
    if (verb == "restart" || verb == "crash") return restart(verb == "crash");
    return cat("unknown command ", verb, "\n");
  }

  template <typename Change>
  std::string changing(Change&& change) {
    if (txn_) return change(*txn_);
    std::string out;
    {
      WriteTxn txn = store_->begin();
      out = change(txn);
    }
    publish();
    return out;
  }

  std::string put(WriteTxn& txn, Arguments& a) {
    bool keeps = a.contains("ignore_value") || a.contains("ignore_lease");
    if (keeps && !txn.exists(a["k"])) return show_status(errors::KeyNotFound());
    auto result = txn.put({.key = a["k"],
                           .value = a["v"],
                           .lease = LeaseId(number(a, "lease")),
                           .ignore_value = a.contains("ignore_value"),
                           .ignore_lease = a.contains("ignore_lease"),
                           .prev_kv = a.contains("prev")});
    if (!result.ok()) return show_status(result.status());
    std::string out = cat("rev=", result->revision);
    if (!result->prev_kv.empty()) out += cat(" prev: ", show_kv(result->prev_kv));
    return out + "\n";
  }

  std::string del(WriteTxn& txn, Arguments& a) {
    auto result = txn.delete_range(a["k"], a["end"], a.contains("prev"));
    if (!result.ok()) return show_status(result.status());
    std::string out = cat("rev=", result->revision, " deleted=", result->deleted, "\n");
    for (const Bytes& kv : result->prev_kvs) out += cat("prev: ", show_kv(kv), "\n");
    return out;
  }

  std::string publish() {
    auto events = store_->publish(++index_, Term(1));
    return events.ok() ? cat("rev=", store_->revision(), "\n") : show_status(events.status());
  }

  static int64_t number(Arguments& a, const std::string& name) {
    return a.contains(name) ? std::strtoll(a[name].c_str(), nullptr, 10) : 0;
  }

  std::string range(Arguments& a) {
    static const std::map<std::string, SortTarget> kTargets = {{"version", SortTarget::kVersion},
                                                               {"create", SortTarget::kCreate},
                                                               {"mod", SortTarget::kMod},
                                                               {"value", SortTarget::kValue}};
    RangeOptions o;
    o.limit = number(a, "limit");
    o.revision = number(a, "rev");
    if (a["order"] == "asc") o.sort_order = SortOrder::kAscend;
    if (a["order"] == "desc") o.sort_order = SortOrder::kDescend;
    if (kTargets.contains(a["target"])) o.sort_target = kTargets.at(a["target"]);
    o.keys_only = a.contains("keys_only");
    o.count_only = a.contains("count_only");
    o.total_count = !a.contains("no_total");
    o.min_mod_revision = number(a, "min_mod");
    o.max_mod_revision = number(a, "max_mod");
    o.min_create_revision = number(a, "min_create");
    o.max_create_revision = number(a, "max_create");
    auto result =
        txn_ ? txn_->range(a["k"], a["end"], o) : store_->range(*slot_, a["k"], a["end"], o);
    if (!result.ok()) return show_status(result.status());
    std::string out =
        cat("rev=", result->revision, " count=", result->count, result->more ? " more\n" : "\n");
    for (const Bytes& kv : result->kvs) out += show_kv(kv) + "\n";
    return out;
  }

  std::string compact(Arguments& a) {
    absl::Status status = store_->compact(number(a, "rev"));
    if (!status.ok()) return show_status(status);
    publish();
    return "ok\n";
  }

  std::string step(Arguments& a) {
    bool all = a["work"] == "all";
    bool more = true;
    do {
      more = store_->compact_step(all ? 100 : static_cast<size_t>(number(a, "work")));
      publish();
    } while (all && more);
    return more ? "more\n" : "done\n";
  }

  std::string hash(Arguments& a) {
    auto job = store_->hash_kv(number(a, "rev"));
    if (!job.ok()) return show_status(job.status());
    while (true) {
      auto done = (*job)->step(2);
      if (!done.ok()) return show_status(done.status());
      if (*done) break;
    }
    KvHash h = (*job)->result();
    return cat("hash=", h.hash, " compact_revision=", h.compact_revision,
               " hash_revision=", h.hash_revision, "\n");
  }

  std::string history(Arguments& a) {
    int64_t to = a.contains("to") ? number(a, "to") : store_->revision();
    auto history = store_->history(*slot_, number(a, "from"), to, SIZE_MAX);
    if (!history.ok()) return show_status(history.status());
    std::string out;
    for (const Event& event : history->events) {
      Bytes prev = store_->previous_kv(*slot_, event).value_or(Bytes());
      out += cat(event.revision.main, "_", event.revision.sub, " ",
                 event.type == EventType::kPut ? "put " : "delete ", show_kv(event.kv));
      if (!prev.empty()) out += cat(" prev: ", show_kv(prev));
      out += "\n";
    }
    return out + cat("next=", history->next_revision, "\n");
  }

  std::string bucket() {
    std::string out;
    auto it = backend_.iterate(backend::Bucket::kKey);
    for (it->seek_to_first(); it->valid(); it->next()) {
      ParsedRevision at;
      KeyValueView kv;
      if (!parse_revision_key(it->key(), &at) || !decode_key_value(it->value(), &kv))
        return "bad\n";
      out += cat(at.revision.main, "_", at.revision.sub, at.tombstone ? "t " : " ", kv.key, "\n");
    }
    return out.empty() ? "empty\n" : out;
  }

  std::string restart(bool crash) {
    slot_.reset();
    store_.reset();
    if (crash) backend_.crash();
    index_ = backend_.consistent_index();
    open();
    std::string out = cat("rev=", store_->revision(), " compacted=", store_->compact_revision());
    if (store_->compacting()) out += " compacting";
    out += "\n";
    for (const auto& [key, lease] : store_->take_restored_leases()) {
      out += cat("lease ", lease.value, ": ", key, "\n");
    }
    return out;
  }

  void open() {
    store_ = *Store::open(&backend_);
    slot_ = store_->register_reader();
  }

  backend::MemoryBackend backend_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<ReaderSlot> slot_;
  std::optional<WriteTxn> txn_;
  Index index_{0};
};

// The script with every result replaced by what `world` answers.
std::string play(std::istream& script) {
  World world;
  std::string out, line;
  std::vector<std::string> block;
  while (std::getline(script, line)) {
    if (line.empty() || line[0] == '#') {
      out += line + "\n";
      continue;
    }
    if (line != "----") {
      if (line != "end") block.push_back(line);
      out += line + "\n";
      continue;
    }
    out += "----\n" + world.block(block) + "\n";
    block.clear();
    while (std::getline(script, line) && !line.empty()) continue;
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

TEST(StoreScenario, ScriptsHold) {
  std::filesystem::path dir = KEELSON_SOURCE_DIR "/src/mvcc/testdata";
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().extension() != ".txt") continue;
    ++count;
    std::ifstream in(entry.path());
    std::string expected((std::istreambuf_iterator<char>(in)), {});
    std::istringstream script(expected);
    std::string got = play(script);
    if (std::getenv("KEELSON_REWRITE")) {
      std::ofstream(entry.path()) << got;
    } else {
      EXPECT_EQ(got, expected) << entry.path();
    }
  }
  EXPECT_GT(count, 0);
}

// crc32c("key" ++ key ++ value) of two puts, worked out apart from Store.
TEST(StoreScenario, HashOfTwoPutsByHand) {
  World world;
  world.block({"put k=a v=1"});
  world.block({"put k=b v=2"});
  std::string bytes = "key";
  bytes += std::string("\0\0\0\0\0\0\0\2_\0\0\0\0\0\0\0\0", 17) +
           "\x0a\x01"
           "a\x10\x02\x18\x02\x20\x01\x2a\x01"
           "1";
  bytes += std::string("\0\0\0\0\0\0\0\3_\0\0\0\0\0\0\0\0", 17) +
           "\x0a\x01"
           "b\x10\x03\x18\x03\x20\x01\x2a\x01"
           "2";
  // A bitwise CRC-32C, so that not even the checksum is shared with what is tested.
  uint32_t crc = ~0u;
  for (unsigned char c : bytes) {
    crc ^= c;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  EXPECT_EQ(world.block({"hash"}), cat("hash=", ~crc, " compact_revision=-1 hash_revision=3\n"));
}

}  // namespace
}  // namespace keelson::mvcc
