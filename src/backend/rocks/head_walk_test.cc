// A start from head files shows what a start from the values shows: random stores, with head files
// that are missing, cut off or flipped.

#include <gtest/gtest.h>

#include <future>
#include <random>

#include "backend/heads.h"
#include "backend/key_load.h"
#include "backend/rocks/fault_disk.h"
#include "backend/rocks/fault_files.h"
#include "backend/rocks/head_file.h"
#include "backend/rocks/rocks_backend.h"
#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::backend {
namespace {

constexpr char kPath[] = "/member/keelson";

absl::Status head_of(std::string_view key, std::string_view value, std::string* head) {
  if (value.empty()) return absl::DataLossError("an empty value");
  head->append(cat(key, "=", value.substr(0, 6)));
  return absl::OkStatus();
}
constexpr HeadFormat kFormat{head_of, 7};
using Rows = std::vector<std::pair<std::string, std::string>>;

Rows rows_of(HeadWalk& walk) {
  Rows rows;
  while (walk.next()) rows.emplace_back(walk.key(), walk.head());
  EXPECT_TRUE(walk.status().ok()) << walk.status();
  EXPECT_FALSE(walk.next());
  return rows;
}

class History {
 public:
  explicit History(uint64_t seed)
      : random_(seed), disk_(std::make_shared<FaultFiles::Disk>(random_())) {
    open();
  }

  void run() {
    for (int step = draw(5, 40); step > 0; --step) {
      switch (draw(0, 9)) {
        case 0:
          reopen();
          break;
        case 1:
          wait([&](auto done) { backend_->reclaim(std::move(done)); });
          break;
        case 2:
        case 3:
          wait([&](auto done) { backend_->flush(std::move(done)); });
          break;
        default:
          write();
      }
      if (::testing::Test::HasFailure()) return;
    }
    reopen();
  }

 private:
  int draw(int from, int to) { return std::uniform_int_distribution<int>(from, to)(random_); }

  void open() {
    RocksOptions options{
        .write_buffers = 256 << 10, .reclaim_step = 64 << 10, .opening_threads = 1};
    options.files = FaultFiles(disk_).files();
    keeps_heads_ = draw(0, 9) > 0;
    if (keeps_heads_) options.heads = {head_of, draw(0, 9) == 0 ? 8u : 7u};
    auto opened = open_rocks_backend(kPath, options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    backend_ = *std::move(opened);
  }

  void write() {
    for (int batches = draw(1, 30); batches > 0; --batches) {
      WriteBatch batch;
      for (int i = draw(1, 40); i > 0; --i) {
        const std::string key = cat("k", 10'000 + draw(0, 3000));
        if (draw(0, 2) == 0) {
          batch.del(Bucket::kKey, key);
        } else {
          batch.put(Bucket::kKey, key, cat(random_(), std::string(draw(0, 300), 'x')));
        }
      }
      ASSERT_TRUE(backend_->commit(batch, Index(++index_), Term(1)).ok());
    }
  }

  template <typename Ask>
  void wait(Ask ask) {
    std::promise<absl::Status> done;
    ask([&](absl::Status status) { done.set_value(std::move(status)); });
    const absl::Status status = done.get_future().get();
    ASSERT_TRUE(status.ok()) << status;
  }

  // How many of `directory` there are. REQUIRES: the store is closed.
  size_t files(const std::string& directory, std::string_view ending) {
    size_t n = 0;
    for (const auto& [name, inode] : disk_->directories[directory].now) n += name.ends_with(ending);
    return n;
  }

  void damage_some() {
    auto& names = disk_->directories[cat(kPath, "/heads")].now;
    for (auto it = names.begin(); it != names.end();) {
      std::string& data = it->second->data;
      const int what = draw(0, 11);
      if (what == 0) {
        it = names.erase(it);
        continue;
      }
      if (what == 1) data.resize(random_() % data.size());
      if (what == 2) data[random_() % data.size()] ^= static_cast<char>(1 << draw(0, 7));
      ++it;
    }
  }

  void reopen() {
    backend_.reset();
    // A head file goes with its table, not only at the next open.
    if (keeps_heads_) {
      EXPECT_LE(files(cat(kPath, "/heads"), ".heads"), files(kPath, ".sst"));
    }
    damage_some();
    open();
    if (!backend_) return;
    const Rows expected = rows_of(*heads_from_values(*backend_, kFormat, {}));
    EXPECT_EQ(rows_of(*backend_->walk_heads(kFormat)), expected);
    EXPECT_EQ(backend_->consistent_index(), Index(index_));
  }

  std::mt19937_64 random_;
  const std::shared_ptr<FaultFiles::Disk> disk_;
  std::unique_ptr<Backend> backend_;
  uint64_t index_ = 0;
  bool keeps_heads_ = false;
};

TEST(HeadWalk, ShowsWhatTheValuesShow) {
  for_each_seed({.count = 25}, [](uint64_t seed) { History(seed).run(); });
}

// Tables that were loaded have them, too, and lose them with the table.
TEST(HeadWalk, LoadedKeysHaveHeads) {
  const auto disk = std::make_shared<FaultFiles::Disk>(1);
  RocksOptions options{.heads = kFormat, .opening_threads = 1};
  options.files = FaultFiles(disk).files();
  Rows rows;
  {
    auto store = open_rocks_backend(kPath, options);
    ASSERT_TRUE(store.ok()) << store.status();
    std::unique_ptr<KeyLoad> load = load_keys(**store);
    for (int p = 0; p < 2; ++p) {
      std::unique_ptr<KeyLoad::Part> part = load->part();
      for (int i = 0; i < 100; ++i) {
        const std::string key = cat(p, "/", 100 + i);
        ASSERT_TRUE(part->add(key, "values").ok());
        rows.emplace_back(key, cat(key, "=values"));
      }
      ASSERT_TRUE(part->finish().ok());
    }
    ASSERT_TRUE(load->install().ok());
    EXPECT_EQ(rows_of(*(*store)->walk_heads(kFormat)), rows);
    const auto& heads = disk->directories[cat(kPath, "/heads")].now;
    ASSERT_EQ(heads.size(), 2u);
    // Whatever shows these was not made of the values.
    for (const auto& [name, inode] : heads) EXPECT_GT(inode->data.size(), 100u);
    WriteBatch batch;
    for (const auto& [key, head] : rows) batch.del(Bucket::kKey, key);
    ASSERT_TRUE((*store)->commit(batch, Index(1), Term(1)).ok());
    std::promise<absl::Status> done;
    (*store)->reclaim([&](absl::Status status) { done.set_value(std::move(status)); });
    ASSERT_TRUE(done.get_future().get().ok());
  }
  // Those of the loaded tables went with them.
  EXPECT_TRUE(disk->directories[cat(kPath, "/heads")].now.empty());
  EXPECT_FALSE(disk->directories.contains(cat(kPath, "/load")));
}

TEST(HeadFileId, TextGoesBothWays) {
  const rocks::HeadFileId id{
      .name = "a-name.heads", .version = 3, .bytes = 4711, .crc = 0xdeadbeef};
  std::optional<rocks::HeadFileId> back = rocks::HeadFileId::parse(id.text());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->text(), id.text());
  for (const char* bad :
       {"", "a.heads", "a.heads 1 2", "a.heads 1 2 3 4", "../a.heads 1 2 3", " 1 2 3", "a 1 2 3",
        "a.heads 1 2 x", "a.heads 1 99999999999999 3", "a.heads 1 2 4294967296"}) {
    EXPECT_FALSE(rocks::HeadFileId::parse(bad)) << bad;
  }
}

}  // namespace
}  // namespace keelson::backend
