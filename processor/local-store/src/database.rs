//! The file: created, opened, and opened again after the disk has failed.

use std::fs::{self, File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, TableHandle as _, WriteTransaction};

use crate::error::{Panicked, Trouble};
use crate::layout::{
    ATTRIBUTE, CHECKPOINT, EXPIRY_OF_ATTRIBUTE, EXPIRY_OF_HISTORY, EXPIRY_OF_LISTING, EXPIRY_OF_SNAPSHOT,
    HISTORY, LAYOUT, LISTING, META, OWNER, SNAPSHOT, TIMER,
};

const FILE: &str = "store.redb";

/// Locked while the store is open. The file itself cannot serve for that: it is not there from the start.
const LOCK_FILE: &str = "lock";

/// Of a file that is not complete yet.
const NEW_FILE: &str = "store.redb.new";

/// Of pages. The kernel caches the file too, so this need not hold much.
const CACHE_BYTES: usize = 64 << 20;

/// Opens a file that exists; that of tests fails when they want.
pub(crate) type Opener = fn(&Builder, &Path) -> Result<Database, DatabaseError>;

/// The open file. After an error of the disk redb refuses everything until it is opened anew (it cannot know what arrived), so that is
/// done with the next use: a full disk must not end the process.
#[derive(Debug)]
pub(crate) struct LocalDatabase {
    path: PathBuf,
    opener: Opener,
    slot: RwLock<Slot>,
    /// Last, so that it is free only when the file is closed.
    _lock: File,
}

#[derive(Debug)]
struct Slot {
    database: Option<Database>,
    /// Counts openings.
    opening: u64,
}

impl LocalDatabase {
    /// Opens the database in `folder`, and creates both if they are missing.
    pub(crate) fn open(folder: &Path, opener: Opener) -> Result<Self, Trouble> {
        fs::create_dir_all(folder)?;
        let lock = File::create(folder.join(LOCK_FILE))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Trouble::Locked,
            TryLockError::Error(error) => error.into(),
        })?;
        let path = folder.join(FILE);
        if !path.try_exists()? {
            create(folder, &path)?;
        }
        let database = open(&path, opener)?;
        Ok(Self {
            path,
            opener,
            slot: RwLock::new(Slot { database: Some(database), opening: 0 }),
            _lock: lock,
        })
    }

    /// Uses the database; several may at a time.
    pub(crate) fn with<T>(&self, use_it: impl FnOnce(&Database) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let slot = loop {
            let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
            if slot.database.is_some() {
                break slot;
            }
            drop(slot);
            self.reopen()?;
        };
        let (opening, database) = (slot.opening, slot.database.as_ref().expect("it was there just now"));
        let result = use_it(database);
        drop(slot);
        if let Err(trouble) = &result
            && trouble.needs_reopening()
        {
            self.close(opening);
        }
        result
    }

    /// Closes what `opening` opened, once nobody uses it.
    fn close(&self, opening: u64) {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if slot.opening == opening {
            slot.close();
        }
    }

    fn reopen(&self) -> Result<(), Trouble> {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if slot.database.is_none() {
            slot.database = Some(open(&self.path, self.opener)?);
            slot.opening += 1;
            tracing::info!(file = %self.path.display(), "opened the snapshot store again");
        }
        Ok(())
    }
}

impl Slot {
    /// What redb writes down at the end, it also knows to find out again. So if it cannot, nothing is lost.
    fn close(&mut self) {
        let database = self.database.take();
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::warn!(
                "the snapshot store was not closed cleanly: it is checked when it is opened again"
            );
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.close();
    }
}

/// Makes the file under another name first. So a file that has its name is complete, and an empty one is damaged.
fn create(folder: &Path, path: &Path) -> Result<(), Trouble> {
    let new = folder.join(NEW_FILE);
    if new.try_exists()? {
        // Of somebody who was killed here.
        fs::remove_file(&new)?;
    }
    let database = Builder::new().create(&new)?;
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("layout", LAYOUT)?;
    transaction.open_table(SNAPSHOT)?;
    transaction.open_table(CHECKPOINT)?;
    transaction.open_table(OWNER)?;
    transaction.open_table(TIMER)?;
    transaction.open_table(HISTORY)?;
    transaction.open_table(LISTING)?;
    transaction.open_table(EXPIRY_OF_SNAPSHOT)?;
    transaction.open_table(EXPIRY_OF_HISTORY)?;
    transaction.open_table(EXPIRY_OF_LISTING)?;
    add_index(&transaction)?;
    transaction.commit()?;
    drop(database);
    fs::rename(&new, path)?;
    // Else a loss of power may take the name with it. Elsewhere folders cannot be opened, and need not be.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Opens the file and reads all of it, 2 to 4 ms for each MB: redb does so after a crash anyway, and only then does it
/// compare its checksums. Unchecked, a damaged page may hide rows, whose instances would seem never to have been.
fn open(path: &Path, opener: Opener) -> Result<Database, Trouble> {
    // Checked or not, a damaged file may make redb panic.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        if fs::metadata(path)?.len() == 0 {
            return Err(Trouble::File("it is empty".into()));
        }
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let database = opener(&builder, path)?;
        check_layout(&database)?;
        if !has_index(&database)? {
            let transaction = database.begin_write()?;
            add_index(&transaction)?;
            transaction.commit()?;
        }
        Ok(database)
    }));
    opened.unwrap_or_else(|payload| Err(Panicked::new(&*payload).into()))
}

/// The tables that files of earlier releases have not. Those releases leave them alone.
fn add_index(transaction: &WriteTransaction) -> Result<(), Trouble> {
    transaction.open_table(ATTRIBUTE)?;
    transaction.open_table(EXPIRY_OF_ATTRIBUTE)?;
    Ok(())
}

fn has_index(database: &Database) -> Result<bool, Trouble> {
    let transaction = database.begin_read()?;
    let has_index = transaction.list_tables()?.any(|it| it.name() == EXPIRY_OF_ATTRIBUTE.name());
    Ok(has_index)
}

fn check_layout(database: &Database) -> Result<(), Trouble> {
    let transaction = database.begin_read()?;
    match transaction.open_table(META)?.get("layout")?.map(|it| it.value()) {
        Some(LAYOUT) => Ok(()),
        Some(found) => Err(Trouble::Newer { found }),
        None => Err(Trouble::File("it tells no layout".into())),
    }
}
