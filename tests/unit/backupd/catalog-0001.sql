BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE attempts (
	job_id VARCHAR(36) NOT NULL, 
	fence INTEGER NOT NULL, 
	owner VARCHAR(256) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	started_at BIGINT NOT NULL, 
	finished_at BIGINT, 
	failure_code VARCHAR(64), 
	failure_message VARCHAR, 
	CONSTRAINT pk_attempts PRIMARY KEY (job_id, fence), 
	CONSTRAINT fk_attempts_job_id FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "attempts" VALUES('job-1',1,'node','succeeded',11,20,NULL,NULL);
CREATE TABLE backup_types (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	target VARCHAR(128) NOT NULL, 
	created_at BIGINT NOT NULL, 
	chunk_size_bytes INTEGER NOT NULL, 
	compression_level INTEGER NOT NULL, 
	is_encrypted BOOLEAN NOT NULL, 
	is_deduplicated BOOLEAN NOT NULL, 
	CONSTRAINT pk_backup_types PRIMARY KEY (id), 
	CONSTRAINT uq_backup_types_name UNIQUE (name)
);
INSERT INTO "backup_types" VALUES('type-1','standard','local',5,65536,3,1,1);
CREATE TABLE backups (
	id VARCHAR(36) NOT NULL, 
	project VARCHAR(64) NOT NULL, 
	volume_id VARCHAR(36) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	mode VARCHAR(16) NOT NULL, 
	target VARCHAR(128) NOT NULL, 
	chunk_size_bytes INTEGER NOT NULL, 
	compression_level INTEGER NOT NULL, 
	is_encrypted BOOLEAN NOT NULL, 
	is_deduplicated BOOLEAN NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	created_at BIGINT NOT NULL, 
	parent_id VARCHAR(36), 
	size_bytes BIGINT, 
	finished_at BIGINT, 
	full_read_reason VARCHAR, 
	statistics JSON, 
	failure_code VARCHAR(64), 
	failure_message VARCHAR, 
	CONSTRAINT pk_backups PRIMARY KEY (id)
);
INSERT INTO "backups" VALUES('backup-1','default','volume-1','n','full','local',65536,3,1,1,'available',10,NULL,4096,20,NULL,'{"read_bytes": 4096}',NULL,NULL);
INSERT INTO "backups" VALUES('backup-2','default','volume-1','n','full','local',65536,3,1,1,'error',30,NULL,NULL,40,NULL,NULL,'internal','x');
CREATE TABLE job_packs (
	job_id VARCHAR(36) NOT NULL, 
	pack_id VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_job_packs PRIMARY KEY (job_id, pack_id), 
	CONSTRAINT fk_job_packs_job_id FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "job_packs" VALUES('job-1','0123');
CREATE TABLE jobs (
	id VARCHAR(36) NOT NULL, 
	project VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	backup_id VARCHAR(36) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	created_at BIGINT NOT NULL, 
	request JSON NOT NULL, 
	is_publishing BOOLEAN NOT NULL, 
	fence INTEGER NOT NULL, 
	lease_owner VARCHAR(256), 
	lease_expires_at BIGINT, 
	started_at BIGINT, 
	finished_at BIGINT, 
	done_bytes BIGINT NOT NULL, 
	total_bytes BIGINT NOT NULL, 
	rate_bytes_per_s FLOAT, 
	eta_s FLOAT, 
	failure_code VARCHAR(64), 
	failure_message VARCHAR, 
	CONSTRAINT pk_jobs PRIMARY KEY (id), 
	CONSTRAINT fk_jobs_backup_id FOREIGN KEY(backup_id) REFERENCES backups (id)
);
INSERT INTO "jobs" VALUES('job-1','default','backup','backup-1','succeeded',10,'{}',1,1,NULL,NULL,11,20,4096,4096,1.5,NULL,NULL,NULL);
CREATE TABLE volumes (
	id VARCHAR(36) NOT NULL, 
	project VARCHAR(64) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	path VARCHAR NOT NULL, 
	backup_type_id VARCHAR(36) NOT NULL, 
	created_at BIGINT NOT NULL, 
	allow_live BOOLEAN NOT NULL, 
	direct_io BOOLEAN NOT NULL, 
	CONSTRAINT pk_volumes PRIMARY KEY (id), 
	CONSTRAINT fk_volumes_backup_type_id FOREIGN KEY(backup_type_id) REFERENCES backup_types (id), 
	CONSTRAINT uq_volumes_project_name UNIQUE (project, name)
);
INSERT INTO "volumes" VALUES('volume-1','default','disk','/srv/disk.img','type-1',5,0,0);
CREATE INDEX ix_backups_parent_id ON backups (parent_id);
CREATE INDEX ix_backups_volume_id_state ON backups (volume_id, state);
CREATE INDEX ix_jobs_backup_id ON jobs (backup_id);
CREATE INDEX ix_jobs_project_created_at ON jobs (project, created_at);
CREATE INDEX ix_jobs_state_created_at ON jobs (state, created_at);
COMMIT;
