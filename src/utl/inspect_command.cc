// inspect: what is in a data directory of Keelson's: the log and its marks, what takes the room (by
// prefix, by Kubernetes resource), the largest values, the keys with most revisions.
//
// Memory: a few bytes for each key; prefixes up to kMostPrefixes, the rest together.

#include <algorithm>
#include <map>
#include <memory>
#include <ostream>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "backend/rocks/rocks_backend.h"
#include "base/progress_line.h"
#include "base/revision_key.h"
#include "base/size_text.h"
#include "base/text.h"
#include "ctl/gotext.h"
#include "interchange/layout.h"
#include "mvcc/row_head.h"
#include "mvcc/store.h"
#include "utl/commands.h"
#include "wal/wal.h"

namespace keelson::utl {
namespace {

using ctl::Invocation;

constexpr size_t kShown = 10;
constexpr size_t kMostPrefixes = 10000;

struct Share {
  std::string name;
  uint64_t revisions = 0;
  uint64_t bytes = 0;
};

// The first parts of a key: "/registry/pods" of "/registry/pods/default/a"; of an aggregated
// resource ("/registry/apps.example.com/things") one more.
std::string_view prefix_of(std::string_view key) {
  size_t end = key.find('/', key.starts_with('/') ? 1 : 0);
  if (end == std::string_view::npos) return key.substr(0, key.starts_with('/') ? key.size() : 0);
  const size_t second = key.find('/', end + 1);
  if (second == std::string_view::npos) return key.substr(0, end);
  if (key.substr(end, second - end).find('.') != std::string_view::npos) {
    const size_t third = key.find('/', second + 1);
    if (third != std::string_view::npos) return key.substr(0, third);
  }
  return key.substr(0, second);
}

// Keeps the `kShown` with most of something.
class Most {
 public:
  void offer(std::string_view name, uint64_t of) {
    if (shares_.size() == kShown && of <= shares_.back().bytes) return;
    auto known = std::find_if(shares_.begin(), shares_.end(),
                              [&](const Share& share) { return share.name == name; });
    if (known == shares_.end()) {
      if (shares_.size() == kShown) shares_.pop_back();
      shares_.push_back({std::string(name), 0, of});
    } else {
      known->bytes = std::max(known->bytes, of);
    }
    std::sort(shares_.begin(), shares_.end(),
              [](const Share& a, const Share& b) { return a.bytes > b.bytes; });
  }
  const std::vector<Share>& shares() const { return shares_; }

 private:
  std::vector<Share> shares_;  // most first; `bytes` is the measure
};

struct Contents {
  uint64_t revisions = 0, tombstones = 0, bytes = 0;
  std::map<std::string, Share, std::less<>> prefixes;
  Most largest, busiest;
  Index index, mark, commit;
  Term term;
  uint64_t entries = 0;
};

absl::Status read_keys(const backend::Backend& store, Contents* out) {
  ProgressLine line("inspecting");
  // By the key's hash: two keys that share one would count as one, which is no harm here.
  absl::flat_hash_map<uint64_t, uint32_t> revisions;
  auto it = store.iterate(backend::Bucket::kKey);
  for (it->seek_to_first(); it->valid(); it->next()) {
    ++out->revisions;
    const uint64_t bytes = it->key().size() + it->value().size();
    out->bytes += bytes;
    line.at(out->bytes, 0);
    ParsedRevision at;
    mvcc::KeyValueView kv;
    if (!parse_revision_key(it->key(), &at) || !mvcc::decode_key_value(it->value(), &kv)) {
      return mvcc::damaged_database("a record of bucket key does not parse");
    }
    if (at.tombstone) ++out->tombstones;
    std::string_view prefix = prefix_of(kv.key);
    auto found = out->prefixes.find(prefix);
    if (found == out->prefixes.end()) {
      if (out->prefixes.size() >= kMostPrefixes) prefix = "(others)";
      found = out->prefixes.try_emplace(std::string(prefix), Share{std::string(prefix)}).first;
    }
    ++found->second.revisions;
    found->second.bytes += bytes;
    out->largest.offer(kv.key, kv.value.size());
    out->busiest.offer(kv.key, ++revisions[absl::HashOf(to_absl(kv.key))]);
  }
  return it->status();
}

absl::Status read_log(const std::string& wal_dir, Contents* out) {
  absl::StatusOr<wire::WalSnapshot> mark = wal::newest_mark(wal_dir, out->index);
  if (!mark.ok()) return mark.status();
  out->mark = mark->index;
  absl::StatusOr<wal::Contents> log = wal::read(wal_dir, {mark->index, mark->term}, {});
  if (!log.ok()) return log.status();
  out->commit = log->state.commit;
  out->term = log->state.term;
  out->entries = log->entries;
  return absl::OkStatus();
}

std::vector<Share> by_size(const Contents& contents) {
  std::vector<Share> shares;
  for (const auto& [name, share] : contents.prefixes) shares.push_back(share);
  std::stable_sort(shares.begin(), shares.end(),
                   [](const Share& a, const Share& b) { return a.bytes > b.bytes; });
  return shares;
}

std::string json_of(const std::vector<Share>& shares, std::string_view measure) {
  std::string out = "[";
  for (const Share& share : shares) {
    out += cat(out.size() > 1 ? "," : "", "{\"name\":", ctl::go_quote(share.name), ",\"", measure,
               "\":", share.bytes);
    if (share.revisions > 0) out += cat(",\"revisions\":", share.revisions);
    out += "}";
  }
  return out + "]";
}

void print_json(const Contents& c, std::ostream& out) {
  out << cat(R"({"consistentIndex":)", c.index.value, R"(,"log":{"mark":)", c.mark.value,
             R"(,"term":)", c.term.value, R"(,"commit":)", c.commit.value, R"(,"entries":)",
             c.entries, R"(},"revisions":)", c.revisions, R"(,"tombstones":)", c.tombstones,
             R"(,"bytes":)", c.bytes, R"(,"prefixes":)", json_of(by_size(c), "bytes"),
             R"(,"largest":)", json_of(c.largest.shares(), "bytes"), R"(,"busiest":)",
             json_of(c.busiest.shares(), "count"), "}\n");
}

void print_text(const Contents& c, std::ostream& out) {
  out << "store: up to entry " << c.index.value << ", " << c.revisions << " revisions ("
      << c.tombstones << " tombstones), " << size_text(c.bytes) << "\nlog: mark " << c.mark.value
      << ", term " << c.term.value << ", committed up to " << c.commit.value << ", " << c.entries
      << " entries behind the mark\n\nby prefix:\n";
  const std::vector<Share> shares = by_size(c);
  for (size_t i = 0; i < std::min(shares.size(), 2 * kShown); ++i) {
    out << "  " << (shares[i].name.empty() ? "(no slash)" : shares[i].name) << "  "
        << size_text(shares[i].bytes) << ", " << shares[i].revisions << " revisions\n";
  }
  out << "\nlargest values:\n";
  for (const Share& share : c.largest.shares()) {
    out << "  " << ctl::go_quote(share.name) << "  " << size_text(share.bytes) << "\n";
  }
  out << "\nmost revisions:\n";
  for (const Share& share : c.busiest.shares()) {
    out << "  " << ctl::go_quote(share.name) << "  " << share.bytes << "\n";
  }
}

absl::Status run(Invocation& in) {
  const std::string& data_dir = in.flags.text("data-dir");
  const std::string& given = in.flags.text("wal-dir");
  absl::StatusOr<std::string> place = interchange::only_store(data_dir);
  if (!place.ok()) return failed(place.status());
  absl::StatusOr<std::unique_ptr<backend::Backend>> store = backend::open_rocks_backend(
      *place, {.heads = mvcc::kHeadFormat, .flush_on_close = false, .create_if_missing = false});
  if (!store.ok()) return failed(store.status());
  Contents contents;
  contents.index = (*store)->consistent_index();
  absl::Status s = read_log(given.empty() ? interchange::wal_dir(data_dir) : given, &contents);
  if (s.ok()) s = read_keys(**store, &contents);
  if (!s.ok()) return failed(s);
  if (in.flags.text("write-out") == "json") {
    print_json(contents, in.console.out);
  } else {
    print_text(contents, in.console.out);
  }
  return absl::OkStatus();
}

}  // namespace

ctl::Command inspect_command() {
  return {.use = "inspect",
          .brief = "Tells what is in a data directory of Keelson's",
          .details = "",
          .group = "",
          .flags = {{.name = "data-dir",
                     .usage = "Required. A data directory not in use.",
                     .required = true},
                    {.name = "wal-dir", .usage = "Path to the WAL directory, if elsewhere"}},
          .run = run};
}

}  // namespace keelson::utl
