//! Topologies, their audit trail and their mutations.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Topology {
    Table,
    Id,
    Name,
    Mode,
    Config,
    Status,
    StatusChangedAt,
    Version,
    CreatedAt,
}

#[derive(DeriveIden)]
enum TopologyTransition {
    Table,
    Id,
    TopologyId,
    FromStatus,
    ToStatus,
    At,
    Reason,
    UserId,
}

#[derive(DeriveIden)]
enum Mutation {
    Table,
    Id,
    TopologyId,
    Op,
    Payload,
    State,
    RequestedAt,
    AppliedAt,
    Reason,
    Attempt,
    LeaseToken,
    LeaseExpiresAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(Topology::Table)
                    .col(schema::uuid(Topology::Id).primary_key())
                    .col(schema::string_len_uniq(Topology::Name, 128))
                    .col(schema::string_len(Topology::Mode, 64))
                    .col(schema::text(Topology::Config))
                    .col(schema::string_len(Topology::Status, 16))
                    .col(schema::big_integer(Topology::StatusChangedAt))
                    .col(schema::big_integer(Topology::Version))
                    .col(schema::big_integer(Topology::CreatedAt))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(TopologyTransition::Table)
                    .col(schema::uuid(TopologyTransition::Id).primary_key())
                    .col(schema::uuid(TopologyTransition::TopologyId))
                    .col(schema::string_len(TopologyTransition::FromStatus, 16))
                    .col(schema::string_len(TopologyTransition::ToStatus, 16))
                    .col(schema::big_integer(TopologyTransition::At))
                    .col(schema::text_null(TopologyTransition::Reason))
                    .col(schema::uuid(TopologyTransition::UserId))
                    .foreign_key(
                        ForeignKey::create()
                            .from(TopologyTransition::Table, TopologyTransition::TopologyId)
                            .to(Topology::Table, Topology::Id)
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("topology_transition_topology_id")
                    .table(TopologyTransition::Table)
                    .col(TopologyTransition::TopologyId)
                    .col(TopologyTransition::Id)
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(Mutation::Table)
                    .col(schema::uuid(Mutation::Id).primary_key())
                    .col(schema::uuid(Mutation::TopologyId))
                    .col(schema::string_len(Mutation::Op, 16))
                    .col(schema::text(Mutation::Payload))
                    .col(schema::string_len(Mutation::State, 16))
                    .col(schema::big_integer(Mutation::RequestedAt))
                    .col(schema::big_integer_null(Mutation::AppliedAt))
                    .col(schema::text_null(Mutation::Reason))
                    .col(schema::integer(Mutation::Attempt))
                    .col(schema::uuid_null(Mutation::LeaseToken))
                    .col(schema::big_integer_null(Mutation::LeaseExpiresAt))
                    .foreign_key(
                        ForeignKey::create()
                            .from(Mutation::Table, Mutation::TopologyId)
                            .to(Topology::Table, Topology::Id)
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        // Finds the mutations of one topology in one state, oldest first.
        manager
            .create_index(
                Index::create()
                    .name("mutation_topology_id_state")
                    .table(Mutation::Table)
                    .col(Mutation::TopologyId)
                    .col(Mutation::State)
                    .col(Mutation::Id)
                    .to_owned(),
            )
            .await?;
        // Finds expired leases in all topologies.
        manager
            .create_index(
                Index::create()
                    .name("mutation_state_lease_expires_at")
                    .table(Mutation::Table)
                    .col(Mutation::State)
                    .col(Mutation::LeaseExpiresAt)
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Mutation::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(TopologyTransition::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Topology::Table).to_owned()).await
    }
}
