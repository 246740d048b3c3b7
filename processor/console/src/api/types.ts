// Short names for what the API answers. The types themselves are made of openapi.json: `npm run types`.
import type { components } from './schema';

type Schemas = components['schemas'];

export type ApiError = Schemas['ApiError'];
export type Caller = Schemas['CallerView'];
export type Command = Schemas['CommandView'];
export type DeadLetter = Schemas['LetterView'];
export type DeadLetters = Schemas['LettersView'];
export type Definition = Schemas['DefinitionView'];
export type Deployed = Schemas['DeployView'];
export type Edge = Schemas['EdgeView'];
export type Entry = Schemas['EntryView'];
export type Finding = Schemas['FindingView'];
export type Fleet = Schemas['FleetView'];
export type Followed = Schemas['FollowedView'];
export type Graph = Schemas['GraphView'];
export type Halted = Schemas['HaltedView'];
export type History = Schemas['HistoryView'];
export type Instance = Schemas['FoundView'];
export type InstanceStatus = Schemas['StatusSchema'];
export type Instances = Schemas['ListView'];
export type Node = Schemas['NodeView'];
export type NodeState = Schemas['NodeState'];
export type Redriven = Schemas['RedrivenView'];
export type Row = Schemas['RowView'];
export type Schedule = Schemas['ScheduleView'];
export type Schedules = Schemas['SchedulesView'];
export type Started = Schemas['StartedView'];
export type TaskError = Schemas['TaskError'];
export type Workflow = Schemas['WorkflowView'];
export type Workflows = Schemas['WorkflowsView'];
export type BatchRequest = Schemas['BatchRequest'];
export type BatchLine = Schemas['BatchLine'];

export type Role = 'read' | 'write' | 'admin';
