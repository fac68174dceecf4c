#include "server/state_home.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "membership/cluster.h"
#include "membership/v2_store.h"
#include "wal/file_system.h"

namespace keelson::server {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kName = "keelson";

void remove_all(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) log::warn("cannot remove", {{"path", path}, {"error", error.message()}});
}

// What is on its way out has another name: of a store half of which is gone, a start must not think
// that it is one.
constexpr std::string_view kGone = "gone.";

void retire(const std::string& path) {
  const fs::path gone =
      fs::path(path).parent_path() / cat(kGone, fs::path(path).filename().string());
  remove_all(gone);
  std::error_code error;
  fs::rename(path, gone, error);
  if (error) {
    return log::warn("cannot remove", {{"path", path}, {"error", error.message()}});
  }
  absl::Status synced = wal::posix_file_system()->sync_dir(gone.parent_path());
  if (!synced.ok()) {
    return log::warn("cannot remove", {{"path", path}, {"error", message_of(synced)}});
  }
  remove_all(gone);
}

void remove_retired(const std::string& member_dir) {
  std::error_code error;
  std::vector<std::string> left;
  for (fs::directory_iterator at(member_dir, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    if (at->path().filename().string().starts_with(cat(kGone, kName))) left.push_back(at->path());
  }
  for (const std::string& path : left) remove_all(path);
}

// What snapshots that were on their way have left.
void remove_leftovers(const std::string& dir) {
  std::error_code error;
  std::vector<std::string> left;
  for (fs::directory_iterator at(dir, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    const std::string name = at->path().filename();
    if (name.starts_with("tmp") || name.ends_with(".snap.db")) left.push_back(at->path());
  }
  for (const std::string& path : left) remove_all(path);
}

std::string name_of(uint64_t number) {
  return number == 0 ? std::string(kName) : cat(kName, ".", number);
}

// Nothing for what we do not name so: somebody's copy of a store, say, which is theirs. We never
// come to numbers from which there is no way on.
std::optional<uint64_t> parse_name(std::string_view name) {
  constexpr uint64_t kMost = 1'000'000'000'000'000;
  uint64_t number = 0;
  if (name.size() > kName.size() + 1) {
    std::from_chars(name.data() + kName.size() + 1, name.data() + name.size(), number);
  }
  if (name != name_of(number) || number > kMost) return std::nullopt;
  return number;
}

// 0 for the first. REQUIRES: `dir` is named as a store is.
uint64_t number_of(const std::string& dir) {
  return parse_name(fs::path(dir).filename().string()).value();
}

}  // namespace

std::vector<std::string> store_names(const std::string& member_dir) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator at(member_dir, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    const std::string name = at->path().filename();
    if (parse_name(name)) names.push_back(name);
  }
  std::sort(names.begin(), names.end(),
            [](const std::string& a, const std::string& b) { return number_of(a) < number_of(b); });
  return names;
}

bool is_store(const std::string& dir) {
  std::error_code error;
  if (!fs::exists(dir + "/CURRENT", error)) return false;
  // Who makes one of a snapshot notes last of all that there is a log.
  return number_of(dir) == 0 || fs::exists(dir + "/KEELSON.durable", error);
}

struct StateHome::Places {
  std::mutex mutex;
  uint64_t next = 1;    // number of the next store
  std::string current;  // of the member
  bool closing = false;
};

// The end of a store.
struct StateHome::Closer {
  std::shared_ptr<Places> places;
  std::string dir;

  void operator()(backend::Backend* store) const {
    delete store;
    {
      std::lock_guard lock(places->mutex);
      if (places->closing || dir == places->current) return;
    }
    // Nobody comes back to it, and it may take seconds: the apply lane does not wait for that.
    retire(dir);
  }
};

StateHome::StateHome(std::string data_dir, backend::RocksOptions options)
    : member_dir_(std::move(data_dir) + "/member"),
      options_(std::move(options)),
      places_(std::make_shared<Places>()) {}

absl::StatusOr<std::shared_ptr<backend::Backend>> StateHome::open_at(
    const std::string& dir, const backend::RocksOptions& options) {
  absl::StatusOr<std::unique_ptr<backend::Backend>> opened =
      backend::open_rocks_backend(dir, options);
  if (!opened.ok()) return opened.status();
  return std::shared_ptr<backend::Backend>(opened->release(), Closer{places_, dir});
}

absl::StatusOr<std::shared_ptr<backend::Backend>> StateHome::open(
    const node::RecoveryOptions& log) {
  std::error_code error;
  fs::create_directories(directory(), error);
  if (error)
    return absl::UnavailableError(cat("cannot create ", directory(), ": ", error.message()));
  remove_leftovers(directory());
  remove_retired(member_dir_);
  std::vector<std::string> dirs;
  for (const std::string& name : store_names(member_dir_)) {
    places_->next = std::max(places_->next, number_of(name) + 1);
    const std::string dir = cat(member_dir_, "/", name);
    if (is_store(dir)) {
      dirs.push_back(dir);
    } else if (number_of(name) > 0) {
      retire(dir);
    }
  }
  if (dirs.empty()) dirs.push_back(cat(member_dir_, "/", kName));
  if (dirs.size() == 1) {
    places_->current = dirs.front();
    return open_at(dirs.front(), options_);
  }
  return open_needed(dirs, log);
}

// Of several. Nothing goes before it is clear which one is needed, and for good: what the log was
// found to say may not be durable before it is open. One that cannot be opened stays.
absl::StatusOr<std::shared_ptr<backend::Backend>> StateHome::open_needed(
    const std::vector<std::string>& dirs, const node::RecoveryOptions& log) {
  closing();
  absl::Status broken;
  std::vector<std::shared_ptr<backend::Backend>> stores, unfinished;
  std::vector<std::string> paths;
  std::vector<Index> reached;
  for (const std::string& dir : dirs) {
    absl::StatusOr<std::shared_ptr<backend::Backend>> store = open_at(dir, options_);
    if (!store.ok()) {
      log::warn("a store cannot be opened", {{"path", dir}, {"error", message_of(store.status())}});
      broken.Update(store.status());
      continue;
    }
    const bool made_of_snapshot = number_of(dir) > 0;
    if (made_of_snapshot && (*store)->consistent_index() == Index(0)) {
      unfinished.push_back(*std::move(store));
      continue;
    }
    reached.push_back((*store)->consistent_index());
    paths.push_back(dir);
    stores.push_back(*std::move(store));
  }
  absl::StatusOr<size_t> chosen = node::choose_store(log, reached);
  if (!chosen.ok()) return broken.ok() ? chosen.status() : broken;
  // One that is behind was the member's before a snapshot came that the log knows of.
  const Index behind = *std::min_element(reached.begin(), reached.end());
  if (behind < reached[*chosen]) {
    log::info("Recovering from snapshot backend",
              {{"consistent-index", behind.value}, {"snapshot-index", reached[*chosen].value}});
  }
  log::info("chose the store that the log goes with",
            {{"path", paths[*chosen]}, {"of", dirs.size()}, {"index", reached[*chosen].value}});
  std::lock_guard lock(places_->mutex);
  places_->current = paths[*chosen];
  std::shared_ptr<backend::Backend> needed = stores[*chosen];
  not_needed_ = std::move(unfinished);
  for (std::shared_ptr<backend::Backend>& store : stores) {
    if (store != needed) not_needed_.push_back(std::move(store));
  }
  return needed;
}

void StateHome::chosen_for_good() {
  {
    std::lock_guard lock(places_->mutex);
    places_->closing = false;
  }
  not_needed_.clear();
}

void StateHome::bind(node::Node& node, wal::SnapFiles& files) {
  files_ = &files;
  node_ = &node;
  chosen_for_good();
}

std::string StateHome::next_place() {
  std::lock_guard lock(places_->mutex);
  return cat(member_dir_, "/", name_of(places_->next++));
}

// What is there already is somebody else's.
absl::StatusOr<std::string> StateHome::make_place() {
  constexpr int kAttempts = 1000;
  std::error_code error;
  for (int i = 0; i < kAttempts; ++i) {
    std::string place = next_place();
    if (fs::create_directory(place, error)) return place;
    if (error) return absl::UnavailableError(cat("cannot create ", place, ": ", error.message()));
  }
  return absl::FailedPreconditionError(
      cat("there is no place in ", member_dir_, " for another store"));
}

absl::StatusOr<std::shared_ptr<backend::Backend>> StateHome::new_store() {
  absl::StatusOr<std::string> place = make_place();
  if (!place.ok()) return place.status();
  // A snapshot that the disk has no room for is given up, and the room that it took comes back.
  backend::RocksOptions options = options_;
  options.patient = false;
  absl::StatusOr<std::shared_ptr<backend::Backend>> store = open_at(*place, options);
  if (!store.ok()) retire(*place);
  return store;
}

// --- stores as files -------------------------------------------------------------------------

// In the directory of snapshots, where a start removes what a crash left of it.
class StateHome::Copy final : public peer::StoreCopy {
 public:
  explicit Copy(std::string directory) : directory_(std::move(directory)) {}
  ~Copy() override { remove_all(directory_); }
  const std::string& directory() const override { return directory_; }
  std::shared_ptr<const raft::Snapshot> snapshot() const override { return snapshot_; }

  // What it says of itself.
  absl::Status read(const backend::RocksOptions& options) {
    absl::StatusOr<std::unique_ptr<backend::Backend>> store =
        backend::open_rocks_backend(directory_, options);
    if (!store.ok()) return store.status();
    membership::Cluster members(ClusterId(0));
    if (absl::Status s = members.restore(**store); !s.ok()) return s;
    const std::shared_ptr<const membership::View> view = members.view();
    auto snapshot = std::make_shared<raft::Snapshot>();
    snapshot->metadata = {node::conf_state_of(view->members), (*store)->consistent_index(),
                          (*store)->consistent_term()};
    snapshot->data = Bytes::copy(membership::v2_store_json(*view));
    snapshot_ = std::move(snapshot);
    return absl::OkStatus();
  }

 private:
  const std::string directory_;
  std::shared_ptr<const raft::Snapshot> snapshot_;
};

absl::StatusOr<std::unique_ptr<peer::StoreCopy>> StateHome::copy_store() {
  // Held while it is copied: another one may take its place.
  const std::shared_ptr<backend::Backend> store = node_->backend();
  return copy_of(*store);
}

absl::StatusOr<std::unique_ptr<peer::StoreCopy>> StateHome::copy_of(backend::Backend& store) {
  // It is flushed first, which waits where there is no room.
  if (absl::Status s = store.health(); !s.ok()) return s;
  const std::string place = next_place();
  auto copy =
      std::make_unique<Copy>(cat(directory(), "/tmp.", fs::path(place).filename().string()));
  if (absl::Status s = KEELSON_FAILPOINT_STATUS("state_home_copy"); !s.ok()) return s;
  if (absl::Status s = store.checkpoint(copy->directory()); !s.ok()) return s;
  backend::RocksOptions options = options_;
  options.read_only = true;
  options.create_if_missing = false;
  if (absl::Status s = copy->read(options); !s.ok()) return s;
  return std::unique_ptr<peer::StoreCopy>(std::move(copy));
}

absl::StatusOr<std::string> StateHome::new_store_files() { return make_place(); }

absl::StatusOr<std::shared_ptr<backend::Backend>> StateHome::open_store_files(
    const std::string& directory) {
  backend::RocksOptions options = options_;
  options.patient = false;
  options.create_if_missing = false;
  absl::StatusOr<std::unique_ptr<backend::Backend>> store =
      backend::open_rocks_backend(directory, options);
  if (!store.ok()) return store.status();
  return std::shared_ptr<backend::Backend>(store->release(), Closer{places_, directory});
}

absl::Status StateHome::check_store(backend::Backend& store, const std::function<bool()>& goes_on) {
  return backend::check_blocks(store, goes_on);
}

void StateHome::drop_store_files(const std::string& directory) {
  {
    std::lock_guard lock(places_->mutex);
    CHECK(directory != places_->current);
  }
  retire(directory);
}

void StateHome::install(raft::Message message, node::ReceivedState state, Task taken) {
  files_->save_if_possible(*message.snapshot);
  node_->consensus().receive_snapshot(std::move(message), std::move(state));
  node_->consensus().with_core([taken = std::move(taken)](raft::RawNode&) mutable { taken(); });
}

void StateHome::replaced() {
  const std::shared_ptr<backend::Backend> now = node_->backend();
  const Closer* closer = std::get_deleter<Closer>(now);
  CHECK(closer != nullptr);
  backend::begin_patience(*now);
  std::lock_guard lock(places_->mutex);
  places_->current = closer->dir;
}

void StateHome::closing() {
  std::lock_guard lock(places_->mutex);
  places_->closing = true;
}

}  // namespace keelson::server
