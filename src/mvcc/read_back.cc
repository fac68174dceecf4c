// KeyValues that are not in memory, read from the key bucket by their revision.

#include "base/text.h"
#include "mvcc/revision_key.h"
#include "mvcc/store_impl.h"

namespace keelson::mvcc {
namespace {

absl::Status damaged(Revision revision, std::string_view how) {
  return absl::DataLossError(cat("mvcc: the KeyValue of revision ", revision.main, "_",
                                 revision.sub, " ", how,
                                 "; restore this member from a snapshot or add it anew"));
}

// What comes from a disk is looked at once, here; everybody behind takes it for a KeyValue.
absl::StatusOr<Bytes> checked(Revision revision, std::optional<Bytes> found) {
  if (!found) return damaged(revision, "is missing in the backend");
  KeyValueView kv;
  if (!decode_key_value(*found, &kv) || kv.key.empty()) return damaged(revision, "does not parse");
  if (kv.mod_revision != revision.main) return damaged(revision, "says it is of another revision");
  return *std::move(found);
}

struct Keys {
  explicit Keys(std::span<const Revision> revisions) : keys(revisions.begin(), revisions.end()) {
    for (const RevisionKey& key : keys) views.push_back(key.view());
  }
  const std::vector<RevisionKey> keys;
  std::vector<std::string_view> views;
};

absl::StatusOr<std::vector<Bytes>> all_checked(std::span<const Revision> revisions,
                                               std::vector<std::optional<Bytes>> found) {
  std::vector<Bytes> values;
  for (size_t i = 0; i < revisions.size(); ++i) {
    absl::StatusOr<Bytes> value = checked(revisions[i], std::move(found[i]));
    if (!value.ok()) return value.status();
    values.push_back(*std::move(value));
  }
  return values;
}

}  // namespace

absl::StatusOr<Bytes> StoreImpl::read_back(Revision revision) const {
  RevisionKey key(revision);
  absl::StatusOr<std::optional<Bytes>> found = backend_->get(backend::Bucket::kKey, key.view());
  if (!found.ok()) return found.status();
  return checked(revision, *std::move(found));
}

absl::StatusOr<std::vector<Bytes>> StoreImpl::read_back(std::span<const Revision> revisions) const {
  const Keys keys(revisions);
  absl::StatusOr<std::vector<std::optional<Bytes>>> found =
      backend_->multi_get(backend::Bucket::kKey, keys.views);
  if (!found.ok()) return found.status();
  return all_checked(revisions, *std::move(found));
}

absl::StatusOr<bool> StoreImpl::read_back_in_memory(std::span<const Revision> revisions,
                                                    std::vector<Bytes>* values) const {
  const Keys keys(revisions);
  std::vector<std::optional<Bytes>> found;
  absl::StatusOr<bool> all =
      backend_->multi_get_in_memory(backend::Bucket::kKey, keys.views, &found);
  if (!all.ok() || !*all) return all;
  absl::StatusOr<std::vector<Bytes>> checked = all_checked(revisions, std::move(found));
  if (!checked.ok()) return checked.status();
  *values = *std::move(checked);
  return true;
}

}  // namespace keelson::mvcc
